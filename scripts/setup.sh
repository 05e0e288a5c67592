# Sourced by the other scripts: a virtual environment (made here where none is active) with the project and the
# extras in $1. Installs once per pyproject.toml and constraints.txt, so later runs need no network.
if [ -z "${VIRTUAL_ENV:-}" ]; then
  [ -x .venv/bin/python ] || python3 -m venv .venv
  PATH="$PWD/.venv/bin:$PATH"
fi
stamp=$(python -c 'import sys; print(sys.prefix)')/.lightning-gen-$(cat pyproject.toml constraints.txt | sha256sum | cut -c1-12)-$1
if [ ! -e "$stamp" ]; then
  echo "installing lightning-gen[$1] into $(python -c 'import sys; print(sys.prefix)')"
  python -m pip install -q -e ".[$1]" -c constraints.txt
  touch "$stamp"
fi
