{{/* What the schema cannot say. Each says what helps. */}}
{{- define "heliostat.checks" -}}
{{- $v := .Values -}}
{{- $name := include "heliostat.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "%s cannot name a RayCluster: letters, digits and dashes, a letter first; set fullnameOverride" $name) -}}
{{- end -}}
{{- if include "heliostat.embedded" . -}}
  {{- if $v.workers -}}
  {{- fail "workers cannot reach the object store on the head's loopback: set objectStore.endpoint and objectStore.existingSecret" -}}
  {{- end -}}
  {{- if or $v.ingress.grpc.enabled $v.ingress.http.enabled $v.monitoring.scrape -}}
  {{- fail "ingress and monitoring.scrape need a gateway off loopback: set objectStore.endpoint and objectStore.existingSecret" -}}
  {{- end -}}
  {{- if not (add $v.head.cpuCards $v.head.gpuCards) -}}
  {{- fail "nothing could render: set head.cpuCards or head.gpuCards, or objectStore.endpoint and workers" -}}
  {{- end -}}
{{- else -}}
  {{- if not $v.objectStore.existingSecret -}}
  {{- fail "objectStore.endpoint needs objectStore.existingSecret, with the keys access_key and secret_key" -}}
  {{- end -}}
  {{- if not $v.auth.existingSecret -}}
  {{- fail "a farm that others reach needs auth.existingSecret, with the keys auth_token and api_token" -}}
  {{- end -}}
{{- end -}}
{{- if not (or $v.head.persistence.enabled (and $v.ledger.existingSecret $v.objectStore.endpoint)) -}}
{{- fail "head.persistence.enabled may be false only with ledger.existingSecret and objectStore.endpoint: the rest lies on the volume" -}}
{{- end -}}
{{- if eq $v.renderer "helios" -}}
  {{- if not (and $v.model.path (include "heliostat.modelClaim" .)) -}}
  {{- fail "the renderer helios needs model.path, and model.existingClaim or model.size" -}}
  {{- end -}}
{{- end -}}
{{- if and $v.model.fetch.source (not (and $v.model.path (include "heliostat.modelClaim" .))) -}}
{{- fail "model.fetch.source needs model.path, and model.existingClaim or model.size" -}}
{{- end -}}
{{- $names := dict -}}
{{- range $v.workers -}}
  {{- if hasKey $names .name -}}
  {{- fail (printf "two worker groups are called %s" .name) -}}
  {{- end -}}
  {{- $_ := set $names .name true -}}
  {{- if gt (add (len $name) (len .name)) 36 -}}
  {{- fail (printf "%s and worker group %s are too long together, %d of 36 letters: pods are called after both" $name .name (add (len $name) (len .name))) -}}
  {{- end -}}
  {{- if not (and (le (int .minReplicas) (int .replicas)) (le (int .replicas) (int .maxReplicas))) -}}
  {{- fail (printf "worker group %s: minReplicas <= replicas <= maxReplicas does not hold" .name) -}}
  {{- end -}}
{{- end -}}
{{- range $each := list "grpc" "http" -}}
  {{- $ingress := index $v.ingress $each -}}
  {{- if and $ingress.enabled (not $ingress.host) -}}
  {{- fail (printf "ingress.%s needs a host" $each) -}}
  {{- end -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (not $v.workers) -}}
{{- fail "autoscaling.enabled needs workers" -}}
{{- end -}}
{{- if $v.networkPolicy.enabled -}}
  {{- $needed := dict
    "s3" (list $v.objectStore.endpoint "objectStore.endpoint")
    "database" (list $v.ledger.existingSecret "ledger.existingSecret")
    "kubernetesApi" (list $v.autoscaling.enabled "autoscaling.enabled")
    "modelSource" (list $v.model.fetch.source "model.fetch.source")
    "notices" (list $v.notices.existingSecret "notices.existingSecret") -}}
  {{- range $rule, $why := $needed -}}
    {{- if and (first $why) (not (index $v.networkPolicy $rule "to")) -}}
    {{- fail (printf "networkPolicy.%s.to is needed with %s: say where it is, as in [{ipBlock: {cidr: 10.0.0.0/24}}]" $rule (last $why)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}
