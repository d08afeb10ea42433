{{- define "gateways.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "gateways.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "gateways.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- /* "yes" if a role runs the model: it mounts the weights, and it is the role that scales. */ -}}
{{- define "gateways.computes" -}}
{{- if or (eq .role "embed") (has .root.Values.shape (list "onnx_py" "python")) -}}yes{{- end -}}
{{- end -}}

{{- /* URLs of all embed services up to the maximum; a gateway balances the load and skips unreachable ones. */ -}}
{{- define "gateways.embed_urls" -}}
{{- $name := printf "%s-embed" (include "gateways.name" .) -}}
{{- $most := ternary .Values.autoscaling.maxReplicas .Values.embed.replicas (or .Values.autoscaling.enabled .Values.keda.enabled) -}}
{{- $urls := list -}}
{{- range $number := until (int $most) -}}
{{- $urls = append $urls (printf "http://%s-%d.%s:8000" $name $number $name) -}}
{{- end -}}
{{- join "," $urls -}}
{{- end -}}

{{- define "gateways.embed_key_secret" -}}
{{- .Values.embed.keySecretName | default (printf "%s-embed-key" (include "gateways.name" .)) -}}
{{- end -}}

{{- define "gateways.checked" -}}
{{- $shapes := list "onnx_py" "python" "split" "pseudo" -}}
{{- if not (has .Values.shape $shapes) -}}
{{- fail (printf "shape is %q; there are: %s" .Values.shape (join ", " $shapes)) -}}
{{- end -}}
{{- $several := or (gt (int .Values.gateway.replicas) 1) (and .Values.autoscaling.enabled (ne .Values.shape "split")) (and .Values.keda.enabled (ne .Values.shape "split")) -}}
{{- if and $several (not .Values.database.secretName) -}}
{{- fail "several gateways need a database that they share: set database.secretName" -}}
{{- end -}}
{{- $scraped := or .Values.keda.enabled .Values.serviceMonitor.enabled -}}
{{- if and (eq .Values.shape "split") .Values.networkPolicy.enabled $scraped (not .Values.networkPolicy.metricsFrom) -}}
{{- fail "Prometheus must reach the embed services: name its pods in networkPolicy.metricsFrom" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "an ingress needs a host name: set ingress.host" -}}
{{- end -}}
{{- end -}}

{{- /* The pod template of a role. */ -}}
{{- define "gateways.pod" -}}
{{- $values := .root.Values -}}
{{- $role := index $values .role -}}
{{- $kind := ternary "embed" $values.shape (eq .role "embed") -}}
{{- $claim := and (eq .role "gateway") (not $values.database.secretName) -}}
metadata:
  labels:
    {{- include "gateways.selector" . | nindent 4 }}
  annotations:
    prometheus.io/scrape: "true"
    prometheus.io/port: "8000"
    {{- with $role.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  automountServiceAccountToken: false
  # Kubernetes would set variables for each Service of the namespace: a Service `store` would set STORE_PORT.
  enableServiceLinks: false
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $role.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $role.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $role.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  terminationGracePeriodSeconds: 40
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    seccompProfile: {type: RuntimeDefault}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "gateways.selector" . | nindent 10 }}
  containers:
    - name: {{ .role }}
      image: {{ index $values.images $kind | quote }}
      imagePullPolicy: {{ $values.imagePullPolicy }}
      ports:
        - {name: http, containerPort: 8000}
      env:
        # Endpoints are updated within this time, so a stopping pod gets no new requests.
        - {name: DRAIN_S, value: "5"}
        {{- if eq .role "embed" }}
        - name: API_KEYS
          valueFrom: {secretKeyRef: {name: {{ include "gateways.embed_key_secret" .root }}, key: key}}
        {{- else }}
        {{- if eq $values.shape "split" }}
        - {name: EMBEDDING_API_URL, value: {{ include "gateways.embed_urls" .root | quote }}}
        - name: EMBEDDING_API_KEY
          valueFrom: {secretKeyRef: {name: {{ include "gateways.embed_key_secret" .root }}, key: key}}
        {{- end }}
        {{- if $values.database.secretName }}
        - {name: STORE, value: pgvector}
        - {name: JOBS, value: postgres}
        - name: DATABASE_URL
          valueFrom: {secretKeyRef: {name: {{ $values.database.secretName }}, key: url}}
        {{- end }}
        {{- if $values.apiKeys.secretName }}
        - name: API_KEYS
          valueFrom: {secretKeyRef: {name: {{ $values.apiKeys.secretName }}, key: keys}}
        {{- end }}
        {{- if $values.apiKeys.fileSecretName }}
        - {name: API_KEYS_FILE, value: /etc/gateways/keys.yaml}
        {{- end }}
        {{- end }}
        {{- range $name, $value := $role.env }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
      # Alive as soon as it listens; ready when it can serve a request.
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 1
        failureThreshold: 120
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        timeoutSeconds: 3
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 1
      resources:
        {{- toYaml (index $values.resources $kind) | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: data, mountPath: /data}
        {{- if and (include "gateways.computes" .) $values.models }}
        - {name: models, mountPath: /models, readOnly: true}
        {{- end }}
        {{- if and (eq .role "gateway") $values.apiKeys.fileSecretName }}
        - {name: api-keys, mountPath: /etc/gateways, readOnly: true}
        {{- end }}
        {{- with $role.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: {{ $values.scratch.tmp }}}
    - name: data
      {{- if $claim }}
      persistentVolumeClaim: {claimName: {{ $values.persistence.existingClaim | default (printf "%s-data" (include "gateways.name" .root)) }}}
      {{- else }}
      emptyDir: {sizeLimit: {{ $values.scratch.data }}}
      {{- end }}
    {{- if and (eq .role "gateway") $values.apiKeys.fileSecretName }}
    - name: api-keys
      secret: {secretName: {{ $values.apiKeys.fileSecretName }}, items: [{key: keys.yaml, path: keys.yaml}]}
    {{- end }}
    {{- with $role.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if and (include "gateways.computes" .) $values.models }}
    - name: models
      {{- toYaml $values.models | nindent 6 }}
    {{- end }}
{{- end -}}

{{- /* The workload of a role with its service, disruption budget and autoscaler. */ -}}
{{- define "gateways.role" -}}
{{- $values := .root.Values -}}
{{- $name := ternary (printf "%s-embed" (include "gateways.name" .root)) (include "gateways.name" .root) (eq .role "embed") -}}
{{- $shared := or (eq .role "embed") $values.database.secretName -}}
{{- $scaled := and (include "gateways.computes" .) $shared -}}
{{- $kind := ternary "StatefulSet" "Deployment" (eq .role "embed") -}}
apiVersion: apps/v1
kind: {{ $kind }}
metadata:
  name: {{ $name }}
  labels:
    {{- include "gateways.labels" .root | nindent 4 }}
spec:
  {{- if not (and $scaled (or $values.autoscaling.enabled $values.keda.enabled)) }}
  replicas: {{ (index $values .role).replicas }}
  {{- end }}
  {{- if eq $kind "StatefulSet" }}
  serviceName: {{ $name }} # gives each pod its own DNS name
  podManagementPolicy: Parallel
  {{- else }}
  strategy:
    {{- if $shared }}
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
    {{- else }}
    type: Recreate # only one process may use the disk
    {{- end }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "gateways.selector" . | nindent 6 }}
  template:
    {{- include "gateways.pod" . | nindent 4 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels:
    {{- include "gateways.labels" .root | nindent 4 }}
spec:
  {{- if eq $kind "StatefulSet" }}
  clusterIP: None
  {{- else }}
  type: {{ $values.service.type }}
  {{- end }}
  selector:
    {{- include "gateways.selector" . | nindent 4 }}
  ports:
    - {name: http, port: {{ ternary 8000 $values.service.port (eq .role "embed") }}, targetPort: http}
{{- if $shared }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels:
    {{- include "gateways.labels" .root | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "gateways.selector" . | nindent 6 }}
{{- end }}
{{- if and $scaled $values.autoscaling.enabled (not $values.keda.enabled) }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels:
    {{- include "gateways.labels" .root | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: {{ $kind }}, name: {{ $name }}}
  minReplicas: {{ (index $values .role).replicas }}
  maxReplicas: {{ $values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $values.autoscaling.targetCPUUtilizationPercentage }}}
{{- end }}
{{- if and $scaled $values.keda.enabled }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ $name }}
  labels:
    {{- include "gateways.labels" .root | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: {{ $kind }}, name: {{ $name }}}
  minReplicaCount: {{ (index $values .role).replicas }}
  maxReplicaCount: {{ $values.autoscaling.maxReplicas }}
  triggers:
    - type: prometheus
      metadata:
        serverAddress: {{ $values.keda.serverAddress }}
        query: sum(gateway_queue_tokens{pod=~"{{ $name }}-{{ ternary "[0-9]+" "[^-]+-[^-]+" (eq $kind "StatefulSet") }}"})
        threshold: {{ $values.keda.queueTokens | quote }}
{{- end }}
{{- end -}}
