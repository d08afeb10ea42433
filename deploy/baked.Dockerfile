# Adds a model to one of our images, for platforms without volumes. The build context is the models folder:
#   docker build -f deploy/baked.Dockerfile --build-arg IMAGE=embedding-gateways/onnx_py -t gateway-baked models
ARG IMAGE
FROM $IMAGE
ARG MODEL=all-MiniLM-L6-v2
COPY $MODEL /models/$MODEL
