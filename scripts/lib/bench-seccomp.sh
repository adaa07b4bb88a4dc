# shellcheck shell=bash disable=SC2154 # sourced by bench, whose tmp, runtimes and rounds these are
# The filters that each runtime attaches for the default profiles of docker, podman and containerd, as the kernel keeps
# them: what attaching alone costs. The peers' are libseccomp's linear programs.

gcc -O2 -o "$tmp/seccomp-attach" scripts/lib/seccomp-attach.c
echo
for profile in mocker-runtime/tests/profiles/*.json; do
	name=$(basename "$profile" .json) programs=()
	jq --slurpfile profile "$profile" '.linux.seccomp = $profile[0] | .process.args = ["/bin/busybox", "sleep", "1000"]' \
		scripts/lib/bench.json >"$tmp/config.json"
	for runtime in "${runtimes[@]}"; do
		"${runtime#*=}" --root "$tmp/state" run --detach -b "$tmp" bench-filter </dev/null >/dev/null 2>&1
		pid=$("${runtime#*=}" --root "$tmp/state" state bench-filter | jq .pid)
		programs+=("$name, ${runtime%%=*}")
		"$tmp/seccomp-attach" dump "$pid" "$tmp/${programs[-1]}"
		"${runtime#*=}" --root "$tmp/state" delete --force bench-filter
	done
	(cd "$tmp" && ./seccomp-attach time $((rounds * 40)) "${programs[@]}")
done
