{{/* Name of everything of this release: short, for KubeRay makes pods' and services' names of it. */}}
{{- define "heliostat.fullname" -}}
{{- $name := .Values.fullnameOverride | default (contains "heliostat" .Release.Name | ternary .Release.Name (printf "%s-heliostat" .Release.Name)) -}}
{{- $name | trunc 24 | trimSuffix "-" -}}
{{- end -}}

{{/* What tells this release's pods from others'. */}}
{{- define "heliostat.selector" -}}
app.kubernetes.io/name: heliostat
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "heliostat.labels" -}}
{{ include "heliostat.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* An image's reference: (dict "image" … "chart" .Chart). */}}
{{- define "heliostat.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* A head with cards renders, so it is a node as well. */}}
{{- define "heliostat.headImage" -}}
{{- $image := gt (add .Values.head.cpuCards .Values.head.gpuCards) 0 | ternary .Values.image.node .Values.image.coordinator -}}
{{- include "heliostat.image" (dict "image" $image "chart" .Chart) -}}
{{- end -}}

{{/* The object store is the head's own: the farm is on loopback. */}}
{{- define "heliostat.embedded" -}}
{{- if not .Values.objectStore.endpoint }}true{{ end -}}
{{- end -}}

{{/* What every pod says: Pod Security's restricted profile, and no token of Kubernetes's API. */}}
{{- define "heliostat.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.podSecurity.user }}
  runAsGroup: {{ .Values.podSecurity.group }}
  fsGroup: {{ .Values.podSecurity.group }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "heliostat.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Where a pod may run: a dict of nodeSelector, tolerations, priorityClassName, runtimeClassName. */}}
{{- define "heliostat.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Requests and limits with GPUs: (dict "resources" … "gpus" n). */}}
{{- define "heliostat.resources" -}}
{{- $resources := deepCopy (.resources | default dict) -}}
{{- if .gpus -}}
{{- $limits := $resources.limits | default dict -}}
{{- $_ := set $limits "nvidia.com/gpu" .gpus -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* One variable from a Secret: (dict "name" … "secret" … "key" … "optional" true). */}}
{{- define "heliostat.fromSecret" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end -}}

{{/* Secret with Ray's token: as given, or as KubeRay makes it, which calls it like the cluster. */}}
{{- define "heliostat.raySecret" -}}
{{ .Values.auth.existingSecret | default (include "heliostat.fullname" .) }}
{{- end -}}

{{/* Claim of the model's volume; empty without one. */}}
{{- define "heliostat.modelClaim" -}}
{{- if .Values.model.existingClaim -}}
{{ .Values.model.existingClaim }}
{{- else if .Values.model.size -}}
{{ include "heliostat.fullname" . }}-models
{{- end -}}
{{- end -}}

{{- define "heliostat.modelPath" -}}
{{- with .Values.model.path }}/models/{{ . }}{{ end -}}
{{- end -}}
