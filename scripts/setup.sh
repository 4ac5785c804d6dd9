#!/usr/bin/env bash
# setup.sh: makes .venv with everything that `make test` and `make demo` need. Asks for nothing; installs system packages
# where it may (as root, or with a sudo that wants no password) and names them where it may not.
# setup.sh pyqt6: puts PyQt6 into a folder beside it, .venv-pyqt6, for tests that shall see it before PyQt5.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv
qt=${1:-pyqt5}

say() { printf 'set-up: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

root=none
if [ "$(id -u)" = 0 ]; then root=""; elif sudo -n true 2>/dev/null; then root="sudo -n"; fi
updated=no

# apt_install PACKAGE...: succeeds only where the packages are then there
apt_install() {
    [ "$root" != none ] && command -v apt-get >/dev/null || return 1
    say "installing $* with apt-get"
    local log
    if [ "$updated" = no ]; then
        log=$($root apt-get update -qq 2>&1) || say "apt-get update failed, trying with the lists that are there: $log"
        updated=yes
    fi
    if ! log=$($root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" 2>&1); then
        say "apt-get failed: $log"
        return 1
    fi
}

# --- a Python that is new enough -------------------------------------------------------------------
is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
python=""
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
    if is_new_enough "$candidate"; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "no Python >= 3.11 was found; install one, or name it: make PYTHON=/path/to/python3.12 ..."

# --- the virtual environment -----------------------------------------------------------------------
if ! is_new_enough "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
        apt_install "$package" || apt_install python3-venv ||
            fail "Python has no venv module here; install the system package $package (as root: apt-get install $package) and run make again"
    fi
    say "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi

# --- system libraries of the window (Linux only) ---------------------------------------------------
if [ "$(uname -s)" = Linux ]; then
    libraries=$( (ldconfig -p || /sbin/ldconfig -p) 2>/dev/null || true)
    missing=()
    command -v Xvfb >/dev/null || missing+=(xvfb)
    while read -r package library; do
        [[ "$libraries" == *"$library"* ]] || missing+=("$package")
    done <<'LIST'
libgl1 libGL.so.1
libglib2.0-0 libgthread-2.0.so.0
libfontconfig1 libfontconfig.so.1
libdbus-1-3 libdbus-1.so.3
libxkbcommon-x11-0 libxkbcommon-x11.so.0
libxcb-icccm4 libxcb-icccm.so.4
libxcb-image0 libxcb-image.so.0
libxcb-keysyms1 libxcb-keysyms.so.1
libxcb-randr0 libxcb-randr.so.0
libxcb-render-util0 libxcb-render-util.so.0
libxcb-xinerama0 libxcb-xinerama.so.0
libxcb-shape0 libxcb-shape.so.0
LIST
    if [ "$qt" = pyqt6 ]; then
        [[ "$libraries" == *libEGL.so.1* ]] || missing+=(libegl1)
        [[ "$libraries" == *libxcb-cursor.so.0* ]] || missing+=(libxcb-cursor0)
    fi
    if [ ${#missing[@]} -gt 0 ]; then
        apt_install "${missing[@]}" ||
            say "the window needs these system packages (Debian names), please install them: ${missing[*]}"
    fi
    # a browser is for one test alone, which says so where there is none: nobody's own machine gets one for that
    if [ -n "${CI:-}" ] && ! command -v chromium chromium-headless-shell google-chrome >/dev/null; then
        apt_install chromium-headless-shell || apt_install chromium || say "the report of a batch is not tested without a browser"
    fi
fi

# --- PyQt6 alone -----------------------------------------------------------------------------------
if [ "$qt" = pyqt6 ]; then
    say "installing PyQt6 into .venv-pyqt6"
    rm -rf .venv-pyqt6
    "$venv/bin/python" -m pip install --quiet --no-deps --target .venv-pyqt6 PyQt6 PyQt6-Qt6 PyQt6-sip --constraint constraints.txt
    say "done"
    exit
fi

# --- the program and its tools ---------------------------------------------------------------------
say "installing napari-deblend and what it needs into $venv (some minutes the first time)"
"$venv/bin/python" -m pip install --quiet --upgrade 'pip>=24'
"$venv/bin/python" -m pip install --quiet --editable ".[pyqt5,dev]" --constraint constraints.txt
say "done"
