{{/* The pod of a worker: (dict "root" . "group" …). */}}
{{- define "heliostat.worker" -}}
{{- $root := .root -}}
{{- $group := .group -}}
{{- $isCpu := eq $group.cardType "cpu" -}}
{{- $claim := $group.modelClaim | default (include "heliostat.modelClaim" $root) -}}
metadata:
  labels:
    {{- include "heliostat.labels" $root | nindent 4 }}
    app.kubernetes.io/component: worker
  annotations:
    ray.io/overwrite-container-cmd: "true"
spec:
  {{- include "heliostat.pod" $root | nindent 2 }}
  # A card gives its clip up at the next chunk's end.
  terminationGracePeriodSeconds: {{ add ($group.leaveSeconds | default 600 | int) 60 }}
  {{- with include "heliostat.placement" $group }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  containers:
    - name: ray-worker
      image: {{ include "heliostat.image" (dict "image" $root.Values.image.node "chart" $root.Chart) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [farm-node]
      args:
        - join
        - {{ include "heliostat.fullname" $root }}-head-svc:6373
        - --cpu-cards={{ $isCpu | ternary 1 0 }}
        - --gpu-cards={{ $isCpu | ternary 0 1 }}
        - --renderer={{ $root.Values.renderer }}
        {{- if eq $root.Values.renderer "testcard" }}
        - --seconds-per-chunk={{ $root.Values.secondsPerChunk }}
        {{- end }}
        {{- with include "heliostat.modelPath" $root }}
        - --model={{ . }}
        {{- end }}
        {{- range $flag := list "profile" "lanes" "vram" "ram" }}
        {{- with index $group $flag }}
        - --{{ $flag }}={{ . }}
        {{- end }}
        {{- end }}
        {{- if $group.pageable }}
        - --pageable
        {{- end }}
        {{- range $group.tags }}
        - --tag={{ . }}
        {{- end }}
        - --spool=/var/lib/heliostat/spool
        - --dir=/var/lib/heliostat/joined
        # What this pod finds of hashes and lanes. The model's own volume is only read, with the
        # hashes that whoever filled it has left there.
        - --models-dir=/var/lib/heliostat/models
        - --leave-seconds={{ $group.leaveSeconds | default 600 }}
        {{- if eq (toString $group.doctor) "false" }}
        - --no-doctor
        {{- end }}
      env:
        - {name: HOME, value: /home/heliostat}
        {{- include "heliostat.fromSecret" (dict "name" "HELIOSTAT_RAY_TOKEN" "secret" (include "heliostat.raySecret" $root) "key" "auth_token") | nindent 8 }}
      # Ready while its Ray is there; it joins again by itself, and ends by itself when it cannot.
      readinessProbe:
        exec:
          command: [sh, -c, "grep -qsx raylet /proc/[0-9]*/comm"]
        periodSeconds: 10
        timeoutSeconds: 5
      livenessProbe:
        exec:
          command: [test, -e, /var/lib/heliostat/joined/join.lock]
        # The doctor comes first, which hashes a model that nobody has hashed on its volume.
        initialDelaySeconds: 600
        periodSeconds: 60
        timeoutSeconds: 10
        failureThreshold: 30
      resources:
        {{- include "heliostat.resources" (dict "resources" $group.resources "gpus" ($isCpu | ternary 0 1)) | nindent 8 }}
      securityContext:
        {{- include "heliostat.container" $root | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /var/lib/heliostat}
        - {name: home, mountPath: /home/heliostat}
        - {name: tmp, mountPath: /tmp}
        {{- if $claim }}
        - {name: models, mountPath: /models, readOnly: true}
        {{- end }}
  volumes:
    # The spool: what is rendered and not uploaded yet.
    - name: data
      emptyDir:
        sizeLimit: {{ $group.spoolSize | default "20Gi" }}
    - {name: home, emptyDir: {}}
    # Ray's sessions and sockets are below /tmp.
    - {name: tmp, emptyDir: {}}
    {{- with $claim }}
    - name: models
      persistentVolumeClaim:
        claimName: {{ . }}
        readOnly: true
    {{- end }}
{{- end -}}
