# shellcheck shell=bash
# What the scripts beside it begin with: words to the person, packages of the distribution.

# Says in a line what a script found or does.
say() {
    printf '%s: %s\n' "$(basename "$0")" "$*"
}

# Gives up, with a sentence that says what to do.
fail() {
    say "$*" >&2
    exit 1
}

# Runs a command for so many seconds at most, where the system can.
bounded() {
    if command -v timeout >/dev/null; then
        timeout "$@"
    else
        "${@:2}"
    fi
}

# Runs a command as root; where there is no way to be root, it yields 1.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        return 1
    fi
}

# install_packages TOOL=PACKAGE[,PACKAGE]...: installs what is listed for the first tool there is,
# and yields 1 where that could not be done.
install_packages() {
    local choice tool packages log
    for choice in "$@"; do
        tool=${choice%%=*}
        IFS=, read -ra packages <<<"${choice#*=}"
        command -v "$tool" >/dev/null || continue
        say "installing ${packages[*]} with $tool"
        log=$(mktemp)
        if install_with "$tool" "${packages[@]}" >"$log" 2>&1 </dev/null; then
            rm -f "$log"
            return 0
        fi
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    done
    return 1
}

install_with() {
    local tool=$1
    shift
    case $tool in
    apt-get)
        # Another apt may run: wait for its lock rather than fail.
        as_root apt-get -o DPkg::Lock::Timeout=300 update -q &&
            as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$@"
        ;;
    dnf) as_root dnf install -y -q "$@" ;;
    apk) as_root apk add --no-progress "$@" ;;
    pacman) as_root pacman -S --noconfirm --needed "$@" ;;
    brew) brew install --quiet "$@" ;;
    *) return 1 ;;
    esac
}
