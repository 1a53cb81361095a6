# Read by bash and zsh. Names end in "="; whole words stand as they are.
_mdsearch_names() {  # of a command: its groups and its own fields
  case "$1" in
@names@
  esac
}
_mdsearch_presets() {  # of a group
  case "$1" in
@presets@
  esac
}
_mdsearch_chosen() {  # of a command's group, unless the line says otherwise
  case "$1" in
@chosen@
  esac
}
_mdsearch_fields() {  # of a group's preset
  case "$1" in
@fields@
  esac
}
_mdsearch_candidates() {  # the word to complete, then those before it
  local current="$1" command="" group="" preset="" word="" name=""
  shift
  for word in "$@"; do
    case "$word" in
      -*|*=*) ;;
      *) if [ -z "$command" ]; then
           command="$word"
         elif [ -n "$(_mdsearch_names "$command $word")" ]; then
           command="$command $word"
         fi ;;
    esac
  done
  case "$current" in
    *=*)
      name="${current%%=*}"
      _mdsearch_presets "${name%%@*}" | while IFS= read -r preset; do printf '%s\n' "$name=$preset"; done
      return ;;
  esac
  if [ "$#" -eq 0 ] || [ "$*" = "$command" ]; then
    _mdsearch_subcommands "$command"
  fi
  _mdsearch_names "$command" | while IFS= read -r name; do
    printf '%s\n' "$name"
    group="${name%=}"
    preset="$(_mdsearch_chosen "$command $group")"
    if [ -n "$preset" ]; then
      for word in "$@"; do
        if [ "${word%%=*}" = "$group" ]; then preset="${word#*=}"; fi
      done
      _mdsearch_fields "$group $preset"
    fi
  done
}
_mdsearch_subcommands() {  # that begin with a command, or all first words
  case "$1" in
@subcommands@
  esac
}
