# An image of ours with a model in it, for where nothing can be mounted. The context is the folder of the models:
#   docker build -f deploy/baked.Dockerfile --build-arg IMAGE=embedding-gateways/onnx_py -t gateway-baked models
ARG IMAGE
FROM $IMAGE
ARG MODEL=all-MiniLM-L6-v2
COPY $MODEL /models/$MODEL
