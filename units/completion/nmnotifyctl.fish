# SPDX-License-Identifier: ISC
#
# Completion of nmnotifyctl(8) for fish. The subcommands are those that it says itself.

function __nmnotifyctl_subcommands
	nmnotifyctl -h 2>/dev/null | sed '1,/^Subcommands:/d' | awk '{ print $1 }'
end

function __nmnotifyctl_accounts
	echo default
	sed -n 's/^[[:space:]]*account[[:space:]]\{1,\}\([[:alnum:]._-]*\).*/\1/p' /etc/nmnotify.conf 2>/dev/null
end

set -l some '__fish_seen_subcommand_from (__nmnotifyctl_subcommands)'
complete -c nmnotifyctl -f
complete -c nmnotifyctl -n "not $some" -s f -r -F -d 'configuration of the listener'
complete -c nmnotifyctl -n "not $some" -s p -r -F -d "the listener's program"
complete -c nmnotifyctl -n "not $some" -s s -r -F -d "socket of the relay's status"
complete -c nmnotifyctl -n "not $some" -s h -d 'how it is called'
complete -c nmnotifyctl -n "not $some" -s V -d 'the version'
complete -c nmnotifyctl -n "not $some" -a '(__nmnotifyctl_subcommands)'
complete -c nmnotifyctl -n '__fish_seen_subcommand_from history reset start status try' -a '(__nmnotifyctl_accounts)'
complete -c nmnotifyctl -n '__fish_seen_subcommand_from explain' -a 'local user to'
complete -c nmnotifyctl -n '__fish_seen_subcommand_from check' -l verbose
complete -c nmnotifyctl -n '__fish_seen_subcommand_from history status' -l json
complete -c nmnotifyctl -n '__fish_seen_subcommand_from history' -l by -x -a 'day hour'
complete -c nmnotifyctl -n '__fish_seen_subcommand_from history' -l directory -r
complete -c nmnotifyctl -n '__fish_seen_subcommand_from history' -l since -x -a '12h 24h 7d 4w'
complete -c nmnotifyctl -n '__fish_seen_subcommand_from history' -l until -x -a '12h 24h 7d 4w'
complete -c nmnotifyctl -n '__fish_seen_subcommand_from history' -l svg
complete -c nmnotifyctl -n '__fish_seen_subcommand_from status' -l metrics
complete -c nmnotifyctl -n '__fish_seen_subcommand_from status' -l openmetrics
complete -c nmnotifyctl -n '__fish_seen_subcommand_from status' -l watch
