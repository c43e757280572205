# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# Completion of nmnotifyctl(8) for bash. The subcommands are those that it says itself.

_nmnotifyctl() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} file=/etc/nmnotify.conf
	local subcommand='' i words=''

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
			-f) file=${COMP_WORDS[++i]} ;;
			-p | -s) ((i++)) ;;
			-*) ;;
			*)
				subcommand=${COMP_WORDS[i]}
				break
				;;
		esac
	done
	case $subcommand:$before in
		:-f | :-p | :-s | history:--directory)
			mapfile -t COMPREPLY < <(compgen -f -- "$word")
			return
			;;
		:*) words="-f -h -p -s -V $(nmnotifyctl -h 2>/dev/null | sed '1,/^Subcommands:/d' | awk '{ print $1 }')" ;;
		history:--by) words='day hour' ;;
		history:--since | history:--until) words='12h 24h 7d 4w' ;;
		explain:explain) words='local user' ;;
		explain:*) words='to' ;;
		*)
			case $subcommand in
				check) words='--verbose' ;;
				history) words='--by --directory --json --since --svg --until' ;;
				status) words='--json --metrics --openmetrics --watch' ;;
			esac
			case $subcommand in
				history | reset | start | status | try)
					words+=" default $(sed -n 's/^[[:space:]]*account[[:space:]]\{1,\}\([[:alnum:]._-]*\).*/\1/p' "$file" 2>/dev/null)"
					;;
			esac
			;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -F _nmnotifyctl nmnotifyctl
