# shellcheck shell=bash disable=SC2154 # sourced by bench, whose tmp this is
# The bundle that every runtime of scripts/bench runs: busybox, lib/bench.json, and a seccomp profile of the
# size and shape of docker's: all of the kernel's calls but what concerns the machine, some by argument.

mkdir -p "$tmp"/rootfs/{bin,etc,proc,sys,dev}
cp /bin/busybox "$tmp/rootfs/bin/"

machine="acct add_key bpf clock_settime delete_module finit_module init_module kexec_file_load kexec_load keyctl
 lookup_dcookie mount move_mount fsopen fsconfig fsmount fspick open_tree mount_setattr nfsservctl perf_event_open
 pivot_root quotactl quotactl_fd reboot request_key setns settimeofday swapoff swapon syslog umount2 unshare
 userfaultfd clone clone3 personality socket"
# shellcheck disable=SC2086 # a list
echo '#include <asm/unistd.h>' | gcc -E -dM - | awk '$2 ~ /^__NR_/ { sub("__NR_", "", $2); print $2 }' |
	grep -vxF "$(printf '%s\n' $machine)" | sort | jq -R . | jq -s '{
		defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 1,
		architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
		syscalls: [
			{ names: ., action: "SCMP_ACT_ALLOW" },
			{ names: ["socket"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 40, op: "SCMP_CMP_NE" }] },
			{ names: ["clone"], action: "SCMP_ACT_ALLOW",
			  args: [{ index: 0, value: 2114060288, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }] },
			{ names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
			({ names: ["personality"], action: "SCMP_ACT_ALLOW",
			   args: [{ index: 0, value: (0, 8, 131072, 131080, 4294967295), op: "SCMP_CMP_EQ" }] })
		] }' >"$tmp/seccomp.json"
jq --slurpfile profile "$tmp/seccomp.json" '.linux.seccomp = $profile[0]' scripts/lib/bench.json >"$tmp/config.json"
echo "run: all namespaces, 10 mounts, masked paths, device rules, a seccomp profile of $(
	jq '[.syscalls[].names[]] | unique | length' "$tmp/seccomp.json") calls"
