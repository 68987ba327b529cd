//! What a program without symbols can do without: backtraces, and the unwinder's last words. For
//! the static binary, whose panics are lines of its log. Compiled with the feature `lean` only.
//!
//! Whatever handler a program sets for its panics, std's own is linked as well, and with it all
//! that reads debug information: 200 KB that could name nothing in a program without symbols. It
//! starts from the unwinder's walk over the stack, which nothing else uses; where that walk is
//! known to see nothing, the linker drops the rest. Unwinding itself does not go this way.
//!
//! A static unwinder brings its own walk along in the same object as what is needed of it, so that
//! the linker has to be told to take the first of two: `-z muldefs`.

use std::ffi::{c_int, c_void};

/// `_URC_END_OF_STACK` of the Itanium C++ ABI's exception handling, level 1, which all unwinders
/// have: the walk is over.
const END_OF_STACK: c_int = 5;

// SAFETY: the name and the arguments are those of the unwinder's function. To call `each` for no
// frame at all is one of the things that it may do.
#[unsafe(export_name = "_Unwind_Backtrace")]
extern "C" fn walk(_each: *const c_void, _argument: *mut c_void) -> c_int {
    END_OF_STACK
}

/// What vfprintf(3) answers when it cannot print.
#[cfg(target_env = "musl")]
const NOT_PRINTED: c_int = -1;

// SAFETY: the name and the arguments are those of vfprintf(3), its list of arguments being passed
// as one pointer wherever musl runs, and it may fail. The unwinder prints with it before it aborts
// on a program that is broken, musl names other threads than the calling one; nothing here does.
#[cfg(target_env = "musl")]
#[unsafe(export_name = "vfprintf")]
extern "C" fn print(_to: *mut c_void, _format: *const c_void, _arguments: *mut c_void) -> c_int {
    NOT_PRINTED
}
