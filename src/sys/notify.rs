//! Telling systemd how we are (sd_notify(3), systemd.service(5)): datagrams to a socket that it
//! names in the environment.
//!
//! It only speaks; what is true is the business of who calls. Without systemd nothing happens.
//! Programs that are started from here inherit the variables; systemd takes no word of theirs
//! unless the unit says `NotifyAccess=all`.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process;
use std::time::Duration;

use super::boot;

/// How long a message may wait for room. systemd reads at once; one that hangs must not hang us.
const SEND_WITHIN: Duration = Duration::from_secs(1);

/// A status longer than this is cut; it is one line for people.
const STATUS_LEN_MAX: usize = 512;

/// The service manager, when there is one that wants to be told.
///
/// ```
/// use failover::Notifier;
///
/// // Not started by systemd: nobody is told, and nothing fails.
/// let manager = Notifier::from_environment()?;
/// manager.ready("answering on 0.0.0.0:8080")?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Notifier {
    manager: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The one that `NOTIFY_SOCKET` names, with the watchdog of `WATCHDOG_USEC`, if `WATCHDOG_PID`
    /// is this process or is not set.
    ///
    /// # Errors
    /// `NOTIFY_SOCKET` is neither a path nor an abstract name, or there is no socket to be had.
    pub fn from_environment() -> io::Result<Notifier> {
        let text = |name| env::var(name).ok();
        Notifier::of(
            env::var_os("NOTIFY_SOCKET"),
            text("WATCHDOG_USEC").as_deref(),
            text("WATCHDOG_PID").as_deref(),
        )
    }

    fn of(
        socket: Option<OsString>,
        watchdog_usec: Option<&str>,
        watchdog_pid: Option<&str>,
    ) -> io::Result<Notifier> {
        let Some(socket) = socket.filter(|name| !name.is_empty()) else {
            return Ok(Notifier {
                manager: None,
                watchdog: None,
            });
        };
        let address = match socket.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(Path::new(&socket))?,
            [b'@', name @ ..] => abstract_address(name)?,
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        let sender = UnixDatagram::unbound()?;
        sender.set_write_timeout(Some(SEND_WITHIN))?;
        let is_ours = watchdog_pid.is_none_or(|pid| pid.parse() == Ok(process::id()));
        let micros = watchdog_usec.and_then(|text| text.parse().ok());
        let watchdog = micros
            .filter(|micros| is_ours && *micros > 0)
            .map(Duration::from_micros);
        Ok(Notifier {
            manager: Some((sender, address)),
            watchdog,
        })
    }

    /// How long systemd waits for [`watchdog`](Notifier::watchdog) before it kills us; half of it
    /// is a good pace. `None` when it does not.
    pub fn watchdog_within(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Started, or done with reloading; `status` is for people.
    ///
    /// # Errors
    /// The message could not be sent; as for all of these.
    pub fn ready(&self, status: &str) -> io::Result<()> {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)))
    }

    /// Reading the configuration again; to be followed by [`ready`](Notifier::ready), whether that
    /// succeeded or not.
    ///
    /// # Errors
    /// As for [`ready`](Notifier::ready).
    pub fn reloading(&self) -> io::Result<()> {
        match boot::monotonic_micros() {
            Some(now) => self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}")),
            None => self.send("RELOADING=1"),
        }
    }

    /// Ending.
    ///
    /// # Errors
    /// As for [`ready`](Notifier::ready).
    pub fn stopping(&self) -> io::Result<()> {
        self.send("STOPPING=1")
    }

    /// Alive.
    ///
    /// # Errors
    /// As for [`ready`](Notifier::ready).
    pub fn watchdog(&self) -> io::Result<()> {
        self.send("WATCHDOG=1")
    }

    /// A line for people, in `systemctl status`.
    ///
    /// # Errors
    /// As for [`ready`](Notifier::ready).
    pub fn status(&self, status: &str) -> io::Result<()> {
        self.send(&format!("STATUS={}", one_line(status)))
    }

    fn send(&self, message: &str) -> io::Result<()> {
        let Some((sender, address)) = &self.manager else {
            return Ok(());
        };
        sender.send_to_addr(message.as_bytes(), address).map(|_| ())
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier")
            .field("to", &self.manager.as_ref().map(|(_, address)| address))
            .field("watchdog", &self.watchdog)
            .finish()
    }
}

/// A line feed would begin another assignment.
fn one_line(text: &str) -> String {
    let is_kept = |c: &char| !c.is_control();
    text.chars().filter(is_kept).take(STATUS_LEN_MAX).collect()
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;

    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(manager: &UnixDatagram) -> String {
        let mut bytes = [0; 2_048];
        let len = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    }

    /// Says everything there is to say, and checks what comes.
    fn tells_all(notifier: &Notifier, manager: &UnixDatagram) {
        manager
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        notifier.ready("one\nREADY=0\x1b[2J").unwrap();
        assert_eq!(received(manager), "READY=1\nSTATUS=oneREADY=0[2J");
        notifier.status(&"é".repeat(1_000)).unwrap();
        let status = format!("STATUS={}", "é".repeat(STATUS_LEN_MAX));
        assert_eq!(received(manager), status);
        notifier.reloading().unwrap();
        let reloading = received(manager);
        let stamp = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(stamp.unwrap().parse::<u64>().unwrap() > 0);
        notifier.watchdog().unwrap();
        assert_eq!(received(manager), "WATCHDOG=1");
        notifier.stopping().unwrap();
        assert_eq!(received(manager), "STOPPING=1");
    }

    #[test]
    fn systemd_is_told_at_a_path() {
        let path = env::temp_dir().join(format!("failover-notify-{}", process::id()));
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::of(Some(path.clone().into()), None, None).unwrap();
        tells_all(&notifier, &manager);
        drop(manager);
        // Until it starts its program, a process that another test forks has the socket, too.
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let is_gone = |told: std::io::Result<()>| {
            told.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
        };
        while !is_gone(notifier.watchdog()) {
            assert!(std::time::Instant::now() < patience);
            std::thread::yield_now();
        }
        std::fs::remove_file(path).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn systemd_is_told_at_an_abstract_name() {
        let name = format!("failover-notify-{}", process::id());
        let manager = UnixDatagram::bind_addr(&abstract_address(name.as_bytes()).unwrap()).unwrap();
        let notifier = Notifier::of(Some(format!("@{name}").into()), None, None).unwrap();
        tells_all(&notifier, &manager);
    }

    #[test]
    fn the_watchdog_is_ours_or_nobody_s() {
        let pid = process::id().to_string();
        for (usec, whose, within) in [
            (Some("3000000"), None, Some(3)),
            (Some("3000000"), Some(&*pid), Some(3)),
            (Some("3000000"), Some("1"), None),
            (Some("3000000"), Some("banana"), None),
            (Some("0"), None, None),
            (Some("-1"), None, None),
            (None, Some(&*pid), None),
        ] {
            let notifier = Notifier::of(Some("/run/none".into()), usec, whose).unwrap();
            let within = within.map(Duration::from_secs);
            assert_eq!(notifier.watchdog_within(), within, "{usec:?} {whose:?}");
        }
    }

    #[test]
    fn without_systemd_nothing_fails() {
        for socket in [None, Some(OsString::new())] {
            let notifier = Notifier::of(socket, Some("1"), None).unwrap();
            notifier.ready("").unwrap();
            notifier.stopping().unwrap();
            assert_eq!(notifier.watchdog_within(), None);
        }
        assert!(Notifier::of(Some("vsock:2:1234".into()), None, None).is_err());
    }
}
