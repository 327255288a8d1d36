#!/usr/bin/env bash
# Runs one job on every host of a host file, and ends with the worst exit code of its processes.
#
#   launch.sh -h HOSTS [-w THREADS] [-C DIR] [-b BINARY] [-e NAME]... JOB [-- WORDS...]
#
# Process I of N is started as `BINARY run JOB -n N -p I -h HOSTS -w THREADS WORDS...` in DIR on the host of line I.
#
# - Secrets are never on a command line: CAUDAL_TOKEN (made for this run where it is not set), CAUDAL_STATUS_TOKEN and the
#   variables named by -e go to the hosts through the remote shell's standard input.
# - What a process says on standard error comes out here with its index and host before each line; standard output passes
#   as it is.
# - INT and TERM are passed on to every process. Where this script or a connection dies, the processes at its other end
#   are told TERM.
# - Where a process fails, the others have a while (CAUDAL_GRACE, 10 seconds) to end by themselves before they are told TERM.
# - Exit code: the worst of all in the order 101, 3, 2, 130, 1, 0. A code that is not caudal's (no connection, no such
#   program, ended by a signal) counts as 3.
#
# CAUDAL_SSH is the remote shell (default `ssh -o BatchMode=yes`). It is called with two more words, the host and the command
# line for the shell there, and must pass on standard input, standard error and the exit code. For pods, a script of two lines:
#   #!/bin/sh
#   exec kubectl exec --stdin "$1" -- sh -c "$2"
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^#$//;s/^# //;p}' "${BASH_SOURCE[0]}"; }

fail() { # MESSAGE: the command line or the host file is wrong, nothing was started
    echo "launch.sh: $1" >&2
    exit 2
}

# --- What was typed -----------------------------------------------------------------------------------------------------

hosts_file='' threads=1 folder=$PWD binary=caudal job='' names=() words=()
while (($#)); do
    case "$1" in
        -h | -w | -C | -b | -e)
            (($# > 1)) || fail "$1 wants a value"
            case "$1" in
                -h) hosts_file=$2 ;;
                -w) threads=$2 ;;
                -C) folder=$2 ;;
                -b) binary=$2 ;;
                -e) names+=("$2") ;;
            esac
            shift 2
            ;;
        --help) usage; exit 0 ;;
        --) shift; words=("$@"); break ;;
        -*) fail "unknown option \"$1\""$'\n'"  expected: -h, -w, -C, -b, -e, --help; words for \"caudal run\" stand behind --" ;;
        *)
            [ -z "$job" ] || fail "there are two jobs, \"$job\" and \"$1\""$'\n'"  expected: one job file; words for \"caudal run\" stand behind --"
            job=$1
            shift
            ;;
    esac
done
[ -n "$job" ] || fail "there is no job file"
[ -n "$hosts_file" ] || fail "there is no host file"$'\n'"  expected: -h HOSTS, a file with one host:port a line"
[[ $threads =~ ^[1-9][0-9]*$ ]] || fail "-w: \"$threads\" is not a number of threads"
read -ra shell <<<"${CAUDAL_SSH:-ssh -o BatchMode=yes}"
grace=${CAUDAL_GRACE:-10}
[[ $grace =~ ^[0-9]+$ ]] || fail "CAUDAL_GRACE: \"$grace\" is not a number of seconds"

# --- The hosts ----------------------------------------------------------------------------------------------------------

local_file=$hosts_file
[[ $hosts_file == /* ]] || local_file=$folder/$hosts_file
[ -r "$local_file" ] || fail "$local_file: the host file can't be read"
hosts=() number=0
while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    line=${line%%#*}
    [[ $line =~ ^[[:space:]]*(.*[^[:space:]])[[:space:]]*$ ]] || continue
    line=${BASH_REMATCH[1]}
    [[ $line =~ ^(\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.][A-Za-z0-9_.-]*)):([0-9]+)$ ]] ||
        fail "$local_file:$number: \"$line\" is no address"$'\n'"  expected: host:port, such as sales-0.internal:2101 or [fd00::7]:2101"
    hosts+=("${BASH_REMATCH[2]}${BASH_REMATCH[3]}")
done <"$local_file"
((${#hosts[@]})) || fail "$local_file: there is no host in it"

# --- What goes to them --------------------------------------------------------------------------------------------------

# Names of variables that go to every process. A token of 256 random bits does for a run that nobody joins later.
[ -n "${CAUDAL_TOKEN:-}" ] || CAUDAL_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
names+=(CAUDAL_TOKEN)
[ -z "${CAUDAL_STATUS_TOKEN:-}" ] || names+=(CAUDAL_STATUS_TOKEN)
for name in "${names[@]}"; do
    [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || fail "-e: \"$name\" is not a variable's name"
    [ -n "${!name+set}" ] || fail "-e: $name is not set"
    [[ ${!name} != *$'\n'* ]] || fail "$name has several lines"
done

# What a host runs, in any POSIX shell on Linux. Standard input brings NAME=VALUE lines, an empty line, then one name of a
# signal a line; its end means TERM. The process takes the shell's place and with it its number, so that its exit code
# is the command's; the reader of signals is its child, and kills nothing once it is not.
# shellcheck disable=SC2016 # it is the host's shell that expands this
remote='
trap "exit 130" INT TERM
while IFS= read -r pair && [ -n "$pair" ]; do export "$pair"; done
cd "$1" || exit 3
shift
exec 3<&0 </dev/null
{
    while
        over=
        IFS= read -r signal <&3 || { signal=TERM; over=yes; }
        read -r number name state parent rest </proc/self/stat
        [ "$parent" = "$$" ]
    do
        kill -s "$signal" "$$"
        [ -z "$over" ] || break
    done
} >/dev/null 2>&1 &
exec 3<&-
exec "$@"
'

quoted() { # WORDS...: as one line for a shell
    local word
    for word; do printf "'%s' " "${word//\'/\'\\\'\'}"; done
}

# --- Start --------------------------------------------------------------------------------------------------------------

scratch=$(mktemp -d)
timer=''
trap 'rm -rf "$scratch"; [ -z "$timer" ] || kill "$timer" 2>/dev/null || true' EXIT
# Each job has a process group of its own: Ctrl-C reaches this script alone, which passes it on once.
set -m

printers=() controls=()
for i in "${!hosts[@]}"; do
    mkfifo "$scratch/in.$i" "$scratch/out.$i" "$scratch/err.$i"
    grep --text --line-buffered '' <"$scratch/out.$i" &
    printers+=($!)
    label="$i ${hosts[i]} | "
    sed --unbuffered "s/^/$label/" <"$scratch/err.$i" >&2 &
    printers+=($!)
done

declare -A process=() # by number of the local child: its index
asked=''
pass_on() { # SIGNAL
    asked=$1
    local i
    for i in "${!controls[@]}"; do
        echo "$1" >&"${controls[i]}" || true
    done 2>/dev/null
}
trap '' PIPE # a process may end while it is written to
trap 'pass_on INT' INT
trap 'pass_on TERM' TERM

for i in "${!hosts[@]}"; do
    command=$(quoted sh -c "$remote" caudal-launch "$folder" "$binary" run "$job" -n "${#hosts[@]}" -p "$i" -h "$hosts_file" -w "$threads" "${words[@]}")
    (
        # The end of another process's input must come from this script alone.
        for control in "${controls[@]}"; do exec {control}>&-; done
        trap - PIPE INT TERM
        exec "${shell[@]}" "${hosts[i]}" "$command"
    ) <"$scratch/in.$i" >"$scratch/out.$i" 2>"$scratch/err.$i" &
    process[$!]=$i
    exec {control}>"$scratch/in.$i"
    controls[i]=$control
    {
        for name in "${names[@]}"; do echo "$name=${!name}" >&"$control"; done
        echo >&"$control"
        [ -z "$asked" ] || echo "$asked" >&"$control"
    } 2>/dev/null || true
done

# --- End ----------------------------------------------------------------------------------------------------------------

worst=0
worse() { # CODE: whether it is worse than the worst so far
    local code
    for code in 101 3 2 130 1 0; do
        [ "$worst" != "$code" ] || return 1
        [ "$1" != "$code" ] || return 0
    done
}

while ((${#process[@]})); do
    ended='' code=0
    wait -n -p ended "${!process[@]}" $timer || code=$?
    [ -n "${ended:-}" ] || continue # a signal came, and was passed on
    if [ "$ended" = "$timer" ]; then
        timer=''
        pass_on TERM
        continue
    fi
    i=${process[$ended]}
    unset "process[$ended]"
    control=${controls[i]}
    unset "controls[$i]"
    exec {control}>&-
    # It was told TERM before it could listen.
    if [ "$code" = 143 ] && [ -n "$asked" ]; then code=130; fi
    case "$code" in
        0 | 1 | 2 | 3 | 101 | 130) ;;
        *)
            echo "launch.sh: process $i on ${hosts[i]} ended with $code, which counts as 3" >&2
            code=3
            ;;
    esac
    if worse "$code"; then worst=$code; fi
    if ((code > 1)) && [ -z "$timer$asked" ] && ((${#process[@]})); then
        sleep "$grace" &
        timer=$!
    fi
done
wait "${printers[@]}" || true
exit "$worst"
