{{/* The pod of the head: coordinator, gateway, and a trial's cards and object store. */}}
{{- define "heliostat.head" -}}
{{- $embedded := include "heliostat.embedded" . -}}
metadata:
  labels:
    {{- include "heliostat.labels" . | nindent 4 }}
    app.kubernetes.io/component: head
  annotations:
    # Farm and node start Ray themselves, with what Heliostat needs; KubeRay's command is not run.
    ray.io/overwrite-container-cmd: "true"
spec:
  {{- include "heliostat.pod" . | nindent 2 }}
  # The pause container reaps what Ray's processes leave behind.
  shareProcessNamespace: true
  terminationGracePeriodSeconds: {{ .Values.head.terminationGracePeriodSeconds }}
  {{- with include "heliostat.placement" .Values.head }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  containers:
    - name: ray-head
      image: {{ include "heliostat.headImage" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [farm]
      args: [up, --foreground]
      env:
        {{- include "heliostat.headEnvironment" . | nindent 8 }}
      ports:
        # Ports of a farm whose first is 6373, so that Ray's is where KubeRay looks for it.
        - {name: grpc, containerPort: 6373}
        - {name: http, containerPort: 6374}
        {{- if $embedded }}
        - {name: s3, containerPort: 6375}
        {{- end }}
        - {name: gcs-server, containerPort: 6379}
        - {name: metrics, containerPort: 6386}
      {{- range $probe, $failures := dict "startupProbe" 60 "readinessProbe" 2 "livenessProbe" 30 }}
      {{ $probe }}:
        {{- if $embedded }}
        exec:
          command:
            - python
            - -c
            - import urllib.request; urllib.request.urlopen("http://127.0.0.1:6374/healthz", timeout=5)
        {{- else }}
        httpGet: {path: /healthz, port: http, scheme: HTTPS}
        {{- end }}
        periodSeconds: 10
        timeoutSeconds: 10
        failureThreshold: {{ $failures }}
      {{- end }}
      resources:
        {{- include "heliostat.resources" (dict "resources" .Values.head.resources "gpus" .Values.head.gpuCards) | nindent 8 }}
      securityContext:
        {{- include "heliostat.container" . | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /var/lib/heliostat}
        - {name: home, mountPath: /home/heliostat}
        - {name: tmp, mountPath: /tmp}
        {{- if .Values.tls.existingSecret }}
        - {name: tls, mountPath: /etc/heliostat/tls, readOnly: true}
        {{- end }}
        {{- if include "heliostat.modelClaim" . }}
        - {name: models, mountPath: /models, readOnly: true}
        {{- end }}
  volumes:
    - name: data
      {{- if .Values.head.persistence.enabled }}
      persistentVolumeClaim:
        claimName: {{ .Values.head.persistence.existingClaim | default (printf "%s-data" (include "heliostat.fullname" .)) }}
      {{- else }}
      emptyDir: {}
      {{- end }}
    - {name: home, emptyDir: {}}
    # Ray's sessions and sockets are below /tmp.
    - {name: tmp, emptyDir: {}}
    {{- with .Values.tls.existingSecret }}
    - name: tls
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
    {{- with include "heliostat.modelClaim" . }}
    - name: models
      persistentVolumeClaim:
        claimName: {{ . }}
        readOnly: true
    {{- end }}
    {{- if .Values.autoscaling.enabled }}
    # Kubernetes's API, for the autoscaler alone: no other container mounts it.
    - name: autoscaler-token
      projected:
        defaultMode: 0440
        sources:
          - serviceAccountToken: {path: token, expirationSeconds: 3600}
          - configMap:
              name: kube-root-ca.crt
              items: [{key: ca.crt, path: ca.crt}]
          - downwardAPI:
              items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]
    {{- end }}
{{- end -}}

{{- define "heliostat.headEnvironment" -}}
- {name: HOME, value: /home/heliostat}
- {name: HELIOSTAT_DATA_DIR, value: /var/lib/heliostat}
- {name: HELIOSTAT_HOST, value: {{ eq (include "heliostat.embedded" .) "true" | ternary "127.0.0.1" "0.0.0.0" | quote }}}
- {name: HELIOSTAT_PORT, value: "6373"}
- {name: HELIOSTAT_CPU_CARDS, value: {{ .Values.head.cpuCards | quote }}}
- {name: HELIOSTAT_GPU_CARDS, value: {{ .Values.head.gpuCards | quote }}}
- {name: HELIOSTAT_RENDERER, value: {{ .Values.renderer }}}
- {name: HELIOSTAT_SECONDS_PER_CHUNK, value: {{ .Values.secondsPerChunk | quote }}}
{{- with include "heliostat.modelPath" . }}
- {name: HELIOSTAT_MODEL, value: {{ . }}}
{{- end }}
{{ include "heliostat.fromSecret" (dict "name" "HELIOSTAT_RAY_TOKEN" "secret" (include "heliostat.raySecret" .) "key" "auth_token") }}
{{- with .Values.auth.existingSecret }}
{{ include "heliostat.fromSecret" (dict "name" "HELIOSTAT_API_TOKEN" "secret" . "key" "api_token") }}
{{- end }}
{{- with .Values.ledger.existingSecret }}
{{ include "heliostat.fromSecret" (dict "name" "HELIOSTAT_LEDGER" "secret" . "key" "url") }}
{{- end }}
- {name: HELIOSTAT_S3_BUCKET, value: {{ .Values.objectStore.bucket }}}
- {name: HELIOSTAT_S3_REGION, value: {{ .Values.objectStore.region }}}
{{- with .Values.objectStore.endpoint }}
- {name: HELIOSTAT_S3_ENDPOINT, value: {{ . | quote }}}
{{ include "heliostat.fromSecret" (dict "name" "HELIOSTAT_S3_ACCESS_KEY" "secret" $.Values.objectStore.existingSecret "key" "access_key") }}
{{ include "heliostat.fromSecret" (dict "name" "HELIOSTAT_S3_SECRET_KEY" "secret" $.Values.objectStore.existingSecret "key" "secret_key") }}
{{- end }}
{{- if .Values.tls.existingSecret }}
- {name: HELIOSTAT_TLS_CERTIFICATE, value: /etc/heliostat/tls/tls.crt}
- {name: HELIOSTAT_TLS_KEY, value: /etc/heliostat/tls/tls.key}
{{- end }}
{{- with .Values.notices.existingSecret }}
{{ include "heliostat.fromSecret" (dict "name" "HELIOSTAT_NOTICES_WEBHOOK" "secret" . "key" "webhook" "optional" true) }}
{{ include "heliostat.fromSecret" (dict "name" "HELIOSTAT_NOTICES_SECRET" "secret" . "key" "secret" "optional" true) }}
{{- end }}
{{- range $key, $value := .Values.settings }}
- {name: HELIOSTAT_{{ upper $key }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end -}}
