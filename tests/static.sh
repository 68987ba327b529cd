#!/bin/sh
# Builds the one static binary and proves that it is one: `static.sh build`. `static.sh path` only
# prints where it is. ARCH chooses another machine: aarch64, armv7, i686, riscv64gc, x86_64.
#
# musl is preferred: a third of the size, a quarter of the memory at start. Where its std is not
# installed, glibc is linked statically instead, which is larger and works as well; nothing here
# depends on a download.
set -eu
cd "$(dirname "$0")/.."

# Limits on the size, so that growth is noticed when it happens. The smallest routers have 16 MB
# of flash, and under 1 MB is what was promised, as the smaller of the two megabytes; a glibc build
# is for those who cannot get musl's std.
MUSL_BYTES_MAX=1000000
GLIBC_BYTES_MAX=1843200

CARGO=${CARGO:-cargo}
RUSTC=${RUSTC:-rustc}

say() { printf 'static: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The compiler's own idea of the host, not uname's: a 32-bit system often runs a 64-bit kernel.
host=$("$RUSTC" -vV | sed -n 's/^host: //p')
[ -n "$host" ] || die "'$RUSTC -vV' names no host"
arch=${ARCH:-${host%%-*}}
case $arch in
    arm64) arch=aarch64 ;;
    amd64) arch=x86_64 ;;
    armv7l) arch=armv7 ;;
    i386 | i586) arch=i686 ;;
    riscv64) arch=riscv64gc ;;
esac

# What follows the C library's name in the target, and the Debian cross compiler.
suffix=''
cross_cc=$arch-linux-gnu-gcc
case $arch in
    armv7) suffix=eabihf cross_cc=arm-linux-gnueabihf-gcc ;;
    riscv64gc) cross_cc=riscv64-linux-gnu-gcc ;;
esac
musl=$arch-unknown-linux-musl$suffix
glibc=$arch-unknown-linux-gnu$suffix

has_std() {
    libdir=$("$RUSTC" --print target-libdir --target "$1" 2>/dev/null) || return 1
    ls "$libdir"/libstd-*.rlib >/dev/null 2>&1
}

if has_std "$musl"; then
    target=$musl limit=$MUSL_BYTES_MAX why="its std is installed"
elif has_std "$glibc"; then
    target=$glibc limit=$GLIBC_BYTES_MAX
    why="no std for $musl ('rustup target add $musl' would install it)"
else
    die "no std for $musl nor $glibc; one of them is needed: rustup target add $musl"
fi
binary=${CARGO_TARGET_DIR:-target}/$target/release/failover

# The toolchain's own linker, if it has one.
rust_lld() {
    ls "$("$RUSTC" --print sysroot)/lib/rustlib/$host/bin/rust-lld" >/dev/null 2>&1
}

# Whether the musl of this toolchain relocates itself by a packed table: 1.2.5 does, which came
# with Rust 1.93.
packs_relocations() {
    [ "$target" = "$musl" ] || return 1
    minor=$("$RUSTC" -V | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
    [ "${minor:-0}" -ge 93 ]
}

# Whether the environment names a linker.
linker_is_given() {
    variable=CARGO_TARGET_$(printf %s "$target" | tr 'a-z-' 'A-Z_')_LINKER
    [ -n "$(printenv "$variable" || :)" ]
}

# Prints the linker's flags. musl's std brings its start-up files and libc along, so that the
# toolchain's lld is enough for it, on every machine for every other; it also makes one of functions
# that are the same. `-z muldefs` is for src/sys/lean.rs; without padding between what is run and
# what is read, as lld does it anyway.
linker_flags() {
    before=-Wl,
    if linker_is_given; then
        say "linker: as \$$variable says"
    elif [ "$target" = "$musl" ] && rust_lld; then
        say "linker: the toolchain's rust-lld"
        before=
        printf %s "-C linker=rust-lld -C link-self-contained=yes -C link-arg=--icf=all "
    elif [ "$arch" = "${host%%-*}" ] && command -v cc >/dev/null; then
        say "linker: cc"
    elif [ "$arch" != "${host%%-*}" ] && command -v "$cross_cc" >/dev/null; then
        say "linker: $cross_cc"
        printf %s "-C linker=$cross_cc "
    else
        die "no linker for $target; expected $cross_cc (Debian: gcc-${cross_cc%-gcc})"
    fi
    printf %s "-C link-arg=$before-zmuldefs -C link-arg=$before-znoseparate-code"
    if packs_relocations; then
        printf %s " -C link-arg=$before-zpack-relative-relocs"
    fi
}

# crt-static alone is not trusted: with the wrong linker it has produced a dynamic program.
prove_static() {
    command -v readelf >/dev/null ||
        die "readelf is missing and without it nothing is proved (Debian: binutils)"
    segments=$(LC_ALL=C readelf -lW "$binary") || die "readelf cannot read $binary"
    dynamic=$(LC_ALL=C readelf -dW "$binary") || die "readelf cannot read $binary"
    case $segments in
        *INTERP*) die "$binary asks for a dynamic loader; expected no INTERP segment" ;;
        *LOAD*) ;;
        *) die "$binary has no LOAD segment; expected a program" ;;
    esac
    case $dynamic in
        *NEEDED*) die "$binary needs shared libraries; expected no NEEDED entry" ;;
    esac
}

build() {
    say "$target: $why"
    flags=$(linker_flags)
    # Tables for unwinding are shorter where every function has a frame pointer.
    flags="-C target-feature=+crt-static -C force-frame-pointers=yes $flags"
    # What is short enough is put where it is called only while that is no longer than the call,
    # loops count in one way, and functions that do the same are one: 6 KB.
    flags="-C llvm-args=-inline-threshold=10 -C llvm-args=-disable-lsr -C passes=mergefunc $flags"
    # Arguments on the stack are stored there: where one call pushes them, the tables for unwinding
    # say so of every call in the same function, which can be 2 KB at a stroke.
    flags="-C llvm-args=-no-x86-call-frame-opt $flags"
    RUSTFLAGS="${RUSTFLAGS:-} $flags" \
        "$CARGO" build --release --bin failover --features lean --target "$target"
    prove_static
    if [ "$arch" = "${host%%-*}" ]; then
        "$binary" version >/dev/null || die "$binary does not run"
    fi
    # Older compilers make it an eighth larger, half of which are relocations (Rust 1.85: 1,123,400
    # bytes), other linkers some percent, and so do machines with few registers (i686: 2 %).
    if linker_is_given || ! rust_lld || ! packs_relocations; then
        limit=$((limit + limit / 5))
    elif [ "$arch" != x86_64 ] && [ "$arch" != aarch64 ]; then
        limit=$((limit + limit / 10))
    fi
    bytes=$(wc -c <"$binary")
    [ "$bytes" -le "$limit" ] || die "$binary has $bytes bytes; expected $limit at most"
    say "proved static: no INTERP, no NEEDED; $bytes bytes of $limit allowed"
    printf '%s %d bytes %d KB\n' "$binary" "$bytes" $(((bytes + 1023) / 1024))
}

case ${1-} in
    build) build ;;
    path) printf '%s\n' "$binary" ;;
    *) say "usage: [ARCH=...] $0 build|path"; exit 64 ;;
esac
