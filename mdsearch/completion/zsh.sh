_mdsearch() {
  local current="${words[CURRENT]}"
  local -a found
  found=(${(f)"$(_mdsearch_candidates "$current" "${(@)words[2,CURRENT-1]}")"})
  if [[ "$current" == *=* && ${#found} -eq 0 ]]; then
    compset -P '*='
    _files
    return
  fi
  compadd -S '' -- ${(M)found:#*=}
  compadd -- ${found:#*=}
  if [[ "$current" != *=* ]] && (( CURRENT > 2 )); then _files; fi  # runs, which some commands take
}
if [[ "$funcstack[1]" == _mdsearch ]]; then _mdsearch "$@"; else compdef _mdsearch mdsearch; fi
