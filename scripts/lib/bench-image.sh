# shellcheck shell=bash disable=SC2154 # sourced by bench, whose tmp, bin and rounds these are
# The image tool's half of scripts/bench.

MOCKER_FIXTURES=${CARGO_TARGET_DIR:-$PWD/target}/fixtures
export MOCKER_FIXTURES
mkfifo "$tmp/hold"
"$bin/conformance" serve --image debian --port-file "$tmp/address" <"$tmp/hold" >/dev/null &
exec 8>"$tmp/hold"
until [ -s "$tmp/address" ]; do kill -0 $! || exit; sleep 0.1; done
image=$(cat "$tmp/address")/debian:bookworm

echo
echo "unpack: Debian from a registry on loopback, nothing cached, down to config.json and rootfs"
clean="rm -rf --one-file-system $tmp/out $tmp/store"
printf 'mocker-image\t%s\t%s\t--quiet\t--root\t%s\tunpack\t--copy\t%s\t%s\n' \
	"$clean" "$bin/mocker-image" "$tmp/store" "$image" "$tmp/out" >"$tmp/unpack"
if command -v skopeo umoci >/dev/null; then
	printf '%s\t%s\tsh\t-c\tskopeo copy -q --src-tls-verify=false docker://%s oci:%s:x && umoci unpack --image %s:x %s\n' \
		"skopeo $(skopeo --version | cut -d' ' -f3) + umoci $(umoci --version | sed 's/.* //; s/[+-].*//; q')" \
		"$clean" "$image" "$tmp/store" "$tmp/store" "$tmp/out" >>"$tmp/unpack"
fi
"$tmp/bench" $((rounds < 5 ? rounds : 5)) "$tmp/unpack"
