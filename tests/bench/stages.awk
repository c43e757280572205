# SPDX-License-Identifier: ISC
# Reads the handler's main file and puts an end behind each of main()'s steps, but for those that end it
# anyway. `-` is before the first.

/^int main\(/ {
	in_main = 1
	print "static void stage(char letter)"
	print "{"
	print "\tif (program_invocation_name[strlen(program_invocation_name) - 1] == letter)"
	print "\t\t_exit(0);"
	print "}\n"
}

{ print }

in_main && /^\tprocess_guard\(/ { print "\tstage('-');" }

in_main && /^\t[a-z_]+\(&h/ && !/^\tdecide\(/ { printf "\tstage('%c');\n", 97 + count++ }
