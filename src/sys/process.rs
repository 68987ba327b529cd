//! Programs that we start: cut loose from us, ended as a group, looked at without being reaped.
//!
//! std's way would need most of this, too: it lets programs inherit our signal mask and what was
//! ignored for us, it signals one process and never a group, and what it waits for it reaps, after
//! which the group's number may belong to somebody else. What it adds to that, such as an
//! environment that is changed rather than given, would be 25 KB of program.

use std::ffi::{CString, c_char, c_int, c_long, c_uint, c_ulong};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::ptr;

use super::{cerr, limits, signals};

/// `idtype_t` and options of waitid(2) on Linux.
const P_PID: c_uint = 1;
const WNOHANG: c_int = 1;
const WEXITED: c_int = 4;
const WNOWAIT: c_int = 0x0100_0000;
/// `__WNOTHREAD` of waitpid(2): children of the calling thread only.
const WNOTHREAD: c_int = 0x2000_0000;

/// The ordinary signals end here; the C library has its own plans for some of those above.
const SIGNAL_LAST: c_int = 31;
/// `SIG_DFL`, a null pointer everywhere.
const SIG_DFL: usize = 0;

/// `O_CLOEXEC`, as std has it where it opens `/dev/null`.
const CLOSE_ON_EXEC: c_int = if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
    0x40_0000
} else {
    0o200_0000
};
/// Of a process that did not become the program; nobody sees it.
const EXIT_NOT_STARTED: c_int = 127;

const SIGKILL: c_int = 9;
const SIGTERM: c_int = 15;

const PR_SET_PDEATHSIG: c_int = 1;
/// Descriptors below are a program's own.
const FIRST_OTHER_DESCRIPTOR: c_uint = 3;

/// System calls that are too new for some C libraries; those since 2019 have one number on all
/// machines, but for the offsets of MIPS.
const SYSCALLS: c_long = if cfg!(any(target_arch = "mips", target_arch = "mips32r6")) {
    4_000
} else if cfg!(any(target_arch = "mips64", target_arch = "mips64r6")) {
    5_000
} else {
    0
};
const PIDFD_OPEN: c_long = SYSCALLS + 434;
const CLOSE_RANGE: c_long = SYSCALLS + 436;

/// `siginfo_t`, 128 bytes on Linux; its first member is the signal's number.
#[repr(C, align(8))]
struct SigInfo([c_int; 32]);

const _: () = assert!(size_of::<SigInfo>() == 128);

unsafe extern "C" {
    safe fn geteuid() -> c_uint;
    #[link_name = "kill"]
    safe fn kill_process(pid: c_int, signal: c_int) -> c_int;
    safe fn dup2(from: c_int, to: c_int) -> c_int;
    safe fn setgid(id: c_uint) -> c_int;
    safe fn setuid(id: c_uint) -> c_int;
    safe fn setpgid(pid: c_int, group: c_int) -> c_int;
    safe fn _exit(code: c_int) -> !;
    fn setgroups(len: usize, groups: *const c_uint) -> c_int;
    fn chdir(path: *const c_char) -> c_int;
    fn pipe2(ends: *mut c_int, flags: c_int) -> c_int;
    fn fork() -> c_int;
    fn execve(
        path: *const c_char,
        arguments: *const *const c_char,
        environment: *const *const c_char,
    ) -> c_int;
    fn write(fd: c_int, bytes: *const u8, len: usize) -> isize;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn waitid(kind: c_uint, id: c_uint, info: *mut SigInfo, options: c_int) -> c_int;
    fn signal(number: c_int, handler: usize) -> usize;
    fn prctl(option: c_int, ...) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
}

/// How a group is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// SIGTERM, which a program may use to tidy up, or ignore.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// The number of the user whose rights we have.
pub(crate) fn effective_user() -> u32 {
    geteuid()
}

/// A program to start, in `/` and with nothing to read.
pub(crate) struct Program<'a> {
    /// Its absolute path.
    pub(crate) path: &'a Path,
    /// What follows its path.
    pub(crate) arguments: &'a [String],
    /// All of it: names and values.
    pub(crate) environment: &'a [(String, String)],
    /// The user and the group whose rights it has, without any other group's; `None` is ourselves.
    pub(crate) rights: Option<(u32, u32)>,
}

/// A process that we started and that is to be waited for, by one of those who have a copy of this.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    id: c_int,
}

impl Child {
    /// Its process number.
    pub(crate) fn id(&self) -> u32 {
        self.id.unsigned_abs()
    }

    /// Waits for its end and takes its status. To be called once.
    ///
    /// # Errors
    /// There is no such child: it was reaped, by the system if SIGCHLD is ignored.
    pub(crate) fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            match self.status(0) {
                Ok(Some(status)) => return Ok(status),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }

    /// Takes its status if it has ended; not to be called again then.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub(crate) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.status(WNOHANG)
    }

    fn status(&self, options: c_int) -> io::Result<Option<ExitStatus>> {
        let mut status = 0;
        // SAFETY: waitpid(2) writes one int, which `status` is.
        let id = cerr(unsafe { waitpid(self.id, &mut status, options) })?;
        Ok((id != 0).then(|| ExitStatus::from_raw(status)))
    }
}

/// Starts a program that shares nothing with us: in a process group of its own, with every signal
/// as it is by default and none blocked, our usual limit of descriptors, and no descriptor above 2
/// (before Linux 5.9: none of ours; what we inherited ourselves stays open). What it says on
/// standard output and standard error comes out of the file. It is told to terminate when the
/// thread that started it ends.
///
/// # Errors
/// The program cannot be started, or this is not Linux.
pub(crate) fn spawn_apart(program: &Program) -> io::Result<(Child, File)> {
    if !cfg!(target_os = "linux") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let image = Image::of(program)?;
    let input = above_standard(File::open("/dev/null")?.into())?;
    let (output, said) = pipe()?;
    let (mut failure, failed) = pipe()?;
    // SAFETY: of a process with threads the new one may call only functions that are
    // async-signal-safe (signal-safety(7)): `start` calls such functions only, and neither
    // allocates nor locks, and then the process becomes another program or ends.
    let id = cerr(unsafe { fork() })?;
    if id == 0 {
        let errno = image
            .start(&input, &said, &failed)
            .raw_os_error()
            .unwrap_or(0);
        let bytes = errno.to_ne_bytes();
        // SAFETY: write(2) reads so many bytes, which `bytes` are.
        unsafe { write(failed.as_raw_fd(), bytes.as_ptr(), bytes.len()) };
        _exit(EXIT_NOT_STARTED);
    }
    let child = Child { id };
    drop((said, failed));
    // Its end of this pipe is closed when it has become the program.
    let mut errno = [0; size_of::<c_int>()];
    match failure.read_exact(&mut errno) {
        Err(_) => Ok((child, output)),
        Ok(()) => {
            // It ends at once; should it be reaped already, that is just as well.
            let _ = child.wait();
            Err(io::Error::from_raw_os_error(c_int::from_ne_bytes(errno)))
        }
    }
}

/// A pipe: what is written to the second comes out of the first. No other program inherits it.
fn pipe() -> io::Result<(File, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: pipe2(2) writes two descriptors, for which `ends` has room.
    cerr(unsafe { pipe2(ends.as_mut_ptr(), CLOSE_ON_EXEC) })?;
    // SAFETY: pipe2(2) just gave us these descriptors, and nobody else has them.
    let [from, to] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    Ok((from.into(), above_standard(to)?))
}

/// Away from where a program has its standard input and output, which may be free here.
fn above_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() < FIRST_OTHER_DESCRIPTOR as c_int {
        // A copy that std makes is above them.
        return fd.try_clone();
    }
    Ok(fd)
}

/// A program in the form that the system takes, so that nothing is left to do for it after fork(2).
struct Image {
    path: CString,
    /// Path, arguments and environment, to which the pointers point.
    _words: Vec<CString>,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    rights: Option<(u32, u32)>,
}

impl Image {
    fn of(program: &Program) -> io::Result<Image> {
        let path = CString::new(program.path.as_os_str().as_bytes())?;
        let mut words = Vec::new();
        for argument in program.arguments {
            words.push(CString::new(argument.as_str())?);
        }
        for (name, value) in program.environment {
            words.push(CString::new(format!("{name}={value}"))?);
        }
        let (arguments, environment) = words.split_at(program.arguments.len());
        let mut pointers = vec![path.as_ptr()];
        pointers.extend(arguments.iter().map(|word| word.as_ptr()));
        pointers.push(ptr::null());
        let mut environment: Vec<_> = environment.iter().map(|word| word.as_ptr()).collect();
        environment.push(ptr::null());
        Ok(Image {
            path,
            arguments: pointers,
            environment,
            _words: words,
            rights: program.rights,
        })
    }

    /// Has this process, which is new, become the program; returns only why it cannot.
    fn start(&self, input: &OwnedFd, said: &OwnedFd, failed: &OwnedFd) -> io::Error {
        if let Err(error) = self.prepare(input, said, failed) {
            return error;
        }
        // SAFETY: execve(2) reads a path and two lists of strings with a null pointer at their end,
        // which live in `self`.
        unsafe {
            execve(
                self.path.as_ptr(),
                self.arguments.as_ptr(),
                self.environment.as_ptr(),
            )
        };
        io::Error::last_os_error()
    }

    fn prepare(&self, input: &OwnedFd, said: &OwnedFd, failed: &OwnedFd) -> io::Result<()> {
        cerr(dup2(input.as_raw_fd(), 0))?;
        cerr(dup2(said.as_raw_fd(), 1))?;
        if let Some((user, group)) = self.rights {
            // SAFETY: setgroups(2) reads no group where there are none.
            cerr(unsafe { setgroups(0, ptr::null()) })?;
            cerr(setgid(group))?;
            cerr(setuid(user))?;
        }
        // SAFETY: chdir(2) reads a string, which this is.
        cerr(unsafe { chdir(c"/".as_ptr()) })?;
        cerr(setpgid(0, 0))?;
        cut_loose(failed.as_raw_fd().unsigned_abs())
    }
}

/// What the new process does before it becomes the program, with `kept` open until then. The
/// others are closed already now: becoming the program may hang, on a disk that is gone, and would
/// hold our sockets, our locks and the ends of others' pipes meanwhile, even after our own end.
fn cut_loose(kept: c_uint) -> io::Result<()> {
    for number in 1..=SIGNAL_LAST {
        // SAFETY: SIG_DFL is a valid disposition; the two signals that take none refuse it.
        unsafe { signal(number, SIG_DFL) };
    }
    signals::unblock_all()?;
    limits::restore_descriptors();
    cerr(dup2(1, 2))?;
    // SAFETY: PR_SET_PDEATHSIG takes one number (prctl(2)).
    unsafe { prctl(PR_SET_PDEATHSIG, SIGTERM as c_ulong) };
    for (first, last) in [(FIRST_OTHER_DESCRIPTOR, kept - 1), (kept + 1, c_uint::MAX)] {
        // SAFETY: close_range(2) takes three numbers, and of what it closes nothing is used any
        // more. It refuses a range without any, and a system that does not know it leaves
        // everything as it is.
        unsafe { syscall(CLOSE_RANGE, first, last, 0 as c_uint) };
    }
    Ok(())
}

/// Signals every process of the group that this child leads. The child must not have been reaped,
/// since its number is the group's.
///
/// # Errors
/// There is no such group, or none of it is ours to signal.
pub(crate) fn end_group(leader: &Child, ending: Ending) -> io::Result<()> {
    let number = match ending {
        Ending::Terminate => SIGTERM,
        Ending::Kill => SIGKILL,
    };
    // kill(2): 0, -0 and -1 would mean much more than one group.
    match leader.id {
        id if id > 1 => cerr(kill_process(-id, number)).map(drop),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Whether a child has ended. It is left unreaped.
///
/// # Errors
/// There is no such child: it was reaped, by the system if SIGCHLD is ignored.
pub(crate) fn has_ended(child: &Child) -> io::Result<bool> {
    let mut info = SigInfo([0; 32]);
    let options = WEXITED | WNOHANG | WNOWAIT;
    // SAFETY: waitid(2) writes one siginfo_t, which `info` is.
    cerr(unsafe { waitid(P_PID, child.id(), &mut info, options) })?;
    Ok(info.0[0] != 0)
}

/// Reaps who has ended of those that have no parent but process 1, if that is us: what our programs
/// leave behind. To be called by the process's first thread, which starts no program itself: it is
/// given the orphans, while a program is the child of the thread that started it, and that waits
/// for it.
pub(crate) fn reap_orphans() {
    let mut status = 0;
    // SAFETY: waitpid(2) writes one int, which `status` is.
    while unsafe { waitpid(-1, &mut status, WNOHANG | WNOTHREAD) } > 0 {}
}

/// A descriptor that becomes readable when the child ends; `None` before Linux 5.3, and where
/// there is no descriptor to be had.
pub(crate) fn exit_of(child: &Child) -> Option<OwnedFd> {
    // SAFETY: pidfd_open(2) takes two numbers.
    let fd = unsafe { syscall(PIDFD_OPEN, child.id(), 0 as c_uint) };
    let fd = c_int::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: pidfd_open(2) just gave us this descriptor, and nobody else has it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file::{hold_openers, holds_one};
    use crate::sys::socket::{Watch, wait_for_any};
    use std::time::Duration;

    fn start(script: &str) -> (Child, File) {
        let program = Program {
            path: Path::new("/bin/sh"),
            arguments: &["-c".to_string(), script.to_string()],
            environment: &[("NAME".to_string(), "a value".to_string())],
            rights: None,
        };
        spawn_apart(&program).unwrap()
    }

    #[test]
    fn it_has_what_it_was_given_and_a_group_of_its_own() {
        let script = "pwd; echo $NAME; read line || echo nothing >&2; cut -d' ' -f5 /proc/$$/stat";
        let (child, mut output) = start(script);
        let mut said = String::new();
        output.read_to_string(&mut said).unwrap();
        assert_eq!(said, format!("/\na value\nnothing\n{}\n", child.id()));
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn the_end_of_a_child_is_seen_and_does_not_reap_it() {
        let (child, _) = start("exit 7");
        let Some(exit) = exit_of(&child) else {
            println!("skipped: this system has no pidfd_open");
            child.wait().unwrap();
            return;
        };
        while !has_ended(&child).unwrap() {
            wait_for_any(&mut [Watch::readable(&exit)], Duration::from_secs(30)).unwrap();
        }
        assert!(has_ended(&child).unwrap());
        assert_eq!(child.wait().unwrap().code(), Some(7));
        assert!(has_ended(&child).is_err());
    }

    /// One that hangs on its way there would keep our sockets in use, our lock taken, and whoever
    /// reads another's pipe waiting, also after our own end.
    #[test]
    fn what_becomes_a_program_holds_nothing_of_ours_meanwhile() {
        let name = format!("failover-process-{}", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::copy("/bin/true", &file).unwrap();
        let holder = File::open(&file).unwrap();
        if !hold_openers(&holder) {
            println!("skipped: no lease on {file:?}");
            std::fs::remove_file(&file).unwrap();
            return;
        }
        let (mut from, to) = pipe().unwrap();
        let path = file.clone();
        let starter = std::thread::spawn(move || {
            let program = Program {
                path: &path,
                arguments: &[],
                environment: &[],
                rights: None,
            };
            spawn_apart(&program).map(|(child, _)| child.wait()).is_ok()
        });
        while !holds_one(&holder) {
            assert!(!starter.is_finished(), "it was not held");
            std::thread::yield_now();
        }
        drop(to);
        let mut watches = [Watch::readable(&from)];
        wait_for_any(&mut watches, Duration::from_secs(30)).unwrap();
        let is_closed = watches[0].is_ready() && from.read(&mut [0]).unwrap() == 0;
        drop(holder);
        starter.join().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(is_closed, "the other end is open yet");
    }

    #[test]
    fn a_group_ends_as_a_whole() {
        let (child, _) = start("sleep 1000 & sleep 1000 & wait");
        assert!(!has_ended(&child).unwrap());
        end_group(&child, Ending::Kill).unwrap();
        assert_eq!(child.wait().unwrap().code(), None);
    }
}
