_mdsearch() {
  local line="${COMP_LINE:0:COMP_POINT}" current="" kept="" IFS=$' \t\n'
  local -a words
  read -r -a words <<< "$line"
  if [[ "$line" == *[[:space:]] ]]; then words+=(""); fi
  current="${words[${#words[@]}-1]}"
  IFS=$'\n'
  COMPREPLY=($(compgen -W "$(_mdsearch_candidates "$current" "${words[@]:1:${#words[@]}-2}")" -- "$current"))
  # bash replaces what follows the last of these characters, and not the whole word
  if [[ "$current" == *[=:@]* ]]; then kept="${current%"${current##*[=:@]}"}"; fi
  if [[ ${#COMPREPLY[@]} -eq 0 ]]; then return; fi  # bash then completes names of files
  COMPREPLY=("${COMPREPLY[@]#"$kept"}")
  if [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" != *= ]]; then
    COMPREPLY=("${COMPREPLY[0]} ")
  fi
}
complete -o nospace -o default -F _mdsearch mdsearch
