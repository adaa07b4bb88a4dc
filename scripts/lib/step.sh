# shellcheck shell=bash
# Sourced by check, e2e and test: named steps, their logs kept, honest totals.

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
TARGET=${CARGO_TARGET_DIR:-$PWD/target}
LOGS=$TARGET/logs/${0##*/}
rm -rf "$LOGS"
mkdir -p "$LOGS"
STEPS=0 FAILED=()

outcome() { # ok|FAILED name seconds
	STEPS=$((STEPS + 1))
	[ "$1" = ok ] || FAILED+=("$2")
	printf '%-7s %s (%d s)\n' "$@"
}

# Runs a command quietly: one line, and its log where it failed.
step() { # name command...
	local name=$1 log=$LOGS/${1//[^a-z0-9]/-}.log start=$SECONDS
	shift
	if "$@" >"$log" 2>&1 </dev/null; then
		outcome ok "$name" $((SECONDS - start))
	else
		outcome FAILED "$name" $((SECONDS - start))
		sed 's/^/        /' "$log"
	fi
}

# Runs a command whose own lines are worth seeing, indented below its name.
stream() { # name command...
	local name=$1 log=$LOGS/${1//[^a-z0-9]/-}.log start=$SECONDS
	shift
	echo "        $name:"
	if "$@" </dev/null 2>&1 | tee "$log" | sed -u 's/^/        /'; then
		outcome ok "$name" $((SECONDS - start))
	else
		outcome FAILED "$name" $((SECONDS - start))
	fi
}

# The last line, and the script's exit status.
finish() { # note
	printf '%s: %d of %d steps passed%s' "${0##*/}" $((STEPS - ${#FAILED[@]})) "$STEPS" "${1:+; $1}"
	[ ${#FAILED[@]} = 0 ] || printf '; FAILED:%s' "$(printf ' "%s"' "${FAILED[@]}")"
	echo
	[ ${#FAILED[@]} = 0 ]
}
