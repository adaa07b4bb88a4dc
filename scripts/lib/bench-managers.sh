# shellcheck shell=bash disable=SC2154 # sourced by bench, whose tmp, bin, rounds and runtimes these are
# What of a manager's time is the runtime's: `ctr run` of a container that ends at once, by one containerd with each
# runtime. The client waits for the shim, which calls the runtime four times; processor time is the client's alone.
# A share of the processor is not asked for: in bench's tree no cgroup has that controller.

if command -v containerd ctr >/dev/null; then
	mount -t tmpfs none /run # sockets and shims: only in this mount namespace
	mkfifo "$tmp/hold-sample"
	"$bin/conformance" serve --image sample --port-file "$tmp/sample" <"$tmp/hold-sample" >/dev/null &
	exec 7>"$tmp/hold-sample"
	until [ -s "$tmp/sample" ]; do kill -0 $! || exit; sleep 0.1; done
	image=$(cat "$tmp/sample")/sample:latest
	cat >"$tmp/containerd.toml" <<-TOML
		version = 2
		root = "$tmp/containerd"
		disabled_plugins = ["io.containerd.grpc.v1.cri"]
	TOML
	containerd --config "$tmp/containerd.toml" >"$tmp/containerd.log" 2>&1 &
	containerd=$!
	until ctr version >/dev/null 2>&1; do kill -0 $containerd || { cat "$tmp/containerd.log"; exit 1; }; sleep 0.1; done
	ctr image pull --plain-http "$image" >/dev/null

	echo
	echo "ctr run: $(containerd --version | cut -d' ' -f3), a container of busybox that ends at once"
	for runtime in "${runtimes[@]}"; do
		[[ $runtime != crun* ]] || continue # some cannot set the limits that ctr asks for
		printf '%s\t-\tctr\trun\t--rm\t--cpu-shares\t0\t--runc-binary\t%s\t--runc-root\t%s\t%s\tbench-{n}\ttrue\n' \
			"${runtime%%=*}" "${runtime#*=}" "$tmp/state" "$image"
	done >"$tmp/ctr"
	"$tmp/bench" "$rounds" "$tmp/ctr"
	rmdir /sys/fs/cgroup/default # ctr's namespace
	kill $containerd
	exec 7>&-
fi
