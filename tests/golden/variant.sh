# shellcheck shell=bash disable=SC2034,SC2154
# Sourced: the options in `variant` for the report $name, NAME or NAME@WITH.
variant=()
case $name in
  *@*-4.19-*) variant=(--kernel "${name#*@}") ;;
  *@*) variant=(--placement "${name#*@}") ;;
esac
