//! No backtraces, for a program without symbols: the static binary, whose panics are lines of its
//! log. Compiled with the feature `no-backtrace` only.
//!
//! Whatever handler a program sets for its panics, std's own is linked as well, and with it all
//! that reads debug information: 200 KB that could name nothing in a program without symbols. It
//! starts from the unwinder's walk over the stack, which nothing else uses; where that walk is
//! known to see nothing, the linker drops the rest. Unwinding itself does not go this way.
//!
//! The interface is that of the Itanium C++ ABI's exception handling, level 1, as all unwinders
//! have it. A static unwinder brings its own walk in the same object as what is needed of it, so
//! that the linker has to be told to take the first of two: `-z muldefs`.

use std::ffi::{c_int, c_void};

/// `_URC_END_OF_STACK`: the walk is over.
const END_OF_STACK: c_int = 5;

// SAFETY: the name and the arguments are those of the unwinder's function; calling `each` for no
// frame at all is one of the things that it may do.
#[unsafe(export_name = "_Unwind_Backtrace")]
extern "C" fn walk(_each: *const c_void, _argument: *mut c_void) -> c_int {
    END_OF_STACK
}
