# shellcheck shell=bash disable=SC2154 # sourced by e2e after step.sh, whose LOGS this is
# Commands that run beside the steps of a script, and end with it.

declare -A BESIDE=()
trap '[ ${#BESIDE[@]} = 0 ] || kill "${BESIDE[@]}" 2>/dev/null || :' EXIT

# Starts a command beside what follows.
beside() { # name command...
	local file=$LOGS/${1//[^a-z0-9]/-}.beside
	shift
	: >"$file"
	(
		trap 'kill "$child"; wait "$child"' TERM
		"$@" &
		child=$!
		wait "$child" && status=0 || status=$?
		echo "$status" >"$file.status"
	) >>"$file" 2>&1 </dev/null &
	BESIDE[$file]=$!
}

# As the command of a step: the lines of what was started under this name, as they come, and its exit status.
joined() { # name
	local file=$LOGS/${1//[^a-z0-9]/-}.beside
	tail -n +1 -f -s 0.2 --pid="${BESIDE[$file]}" "$file"
	return "$(cat "$file.status")"
}
