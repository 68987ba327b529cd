//! The reasons: a closed list of fixed words, part of the interface.
#![forbid(unsafe_code)]

use std::fmt;

/// Says each reason once: its name, its fixed words, and what they mean.
macro_rules! reasons {
    ($($name:ident = $words:literal, $about:literal;)*) => {
        /// Why a run ended as it did: a closed list of fixed words, part of the interface.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $(#[doc = $about] $name,)*
        }

        impl Reason {
            /// Every reason, for lists in manuals and tests.
            pub const ALL: &[Reason] = &[$(Reason::$name,)*];

            /// The fixed words.
            pub fn words(self) -> &'static str {
                WORDS[self as usize].0
            }

            /// What they mean, in a sentence.
            pub fn about(self) -> &'static str {
                WORDS[self as usize].1
            }
        }

        /// In the order of the enum.
        const WORDS: &[(&str, &str)] = &[$(($words, $about),)*];
    };
}

reasons! {
    SaidOk = "said ok", "A closure, or a state given as an outcome, said ok.";
    SaidWarn = "said warn", "It said warn.";
    SaidFail = "said fail", "It said fail.";
    SaidUnknown = "said unknown", "It said unknown.";
    TcpConnected = "tcp connected", "The connection was accepted.";
    TcpConnectTimeout = "tcp connect timeout",
        "No answer to the connection request within the timeout.";
    TcpConnectRefused = "tcp connect refused",
        "Nobody listens there, or the connection met itself.";
    TcpConnectReset = "tcp connect reset", "The connection was reset while it was being made.";
    TcpHostUnreachable = "tcp host unreachable",
        "The network says that the host cannot be reached.";
    TcpNetworkUnreachable = "tcp network unreachable",
        "This machine has no route there; our own network may be at fault.";
    TcpSourceUnavailable = "tcp source unavailable",
        "The source address or port cannot be used here and now.";
    TcpNotPermitted = "tcp not permitted", "This machine's own rules forbid the connection.";
    TcpError = "tcp error",
        "The system refused the connection for a reason that no other word covers.";
    ResolveNoSuchName = "resolve no such name", "The name does not exist.";
    ResolveNoAddress = "resolve no address",
        "The name exists, without an address of the family asked for.";
    ResolveTimeout = "resolve timeout", "The resolver did not answer in time.";
    ResolveFailure = "resolve failure", "The resolver failed.";
    ResolveQueueFull = "resolve queue full", "Too many names are waiting for the resolver.";
    OutOfDescriptors = "out of descriptors", "No file descriptor was to be had.";
    OutOfMemory = "out of memory", "No memory for the connection was to be had.";
    CheckPanicked = "check panicked", "The check panicked.";
    QuorumMet = "quorum met", "Enough of the combined checks are as they should be.";
    QuorumMissed = "quorum missed", "Too few of the combined checks are as they should be.";
    QuorumOpen = "quorum open", "Too many of the combined checks are unknown to tell.";
    AwaitsReset = "awaits reset", "A human has to reset it.";
    Reset = "reset", "A human reset it.";
    NotYetKnown = "not yet known", "No outcome yet.";
    Stale = "stale", "The last known outcome is too old.";
    AnswerTimeout = "answer timeout",
        "The connection was made, and the whole answer did not come in time.";
    AnswerReset = "answer reset",
        "The peer reset the connection in the middle of the conversation.";
    AnswerEndedEarly = "answer ended early", "The peer closed before its answer was whole.";
    AnswerTooLong = "answer too long", "The answer is longer than is read of one.";
    AnswerMalformed = "answer malformed", "The answer breaks the rules of its protocol.";
    SendTimeout = "send timeout", "The peer did not take what was sent to it in time.";
    TextFound = "text found", "The expected text was there.";
    TextMissing = "text missing", "The expected text was not there.";
    ValueWithin = "value within limit", "The number is on the right side of its limit.";
    ValueBeyond = "value beyond limit", "The number is on the wrong side of its limit.";
    ValueMissing = "value missing", "There is no such number.";
    HttpAnswered = "http answered", "The HTTP answer is as expected.";
    HttpStatusUnexpected = "http status not expected", "The HTTP status is none of those expected.";
    HttpTooManyRedirects = "http too many redirects", "More redirects than are to be followed.";
    HttpRedirectRefused = "http redirect refused",
        "The redirect leads where this check does not go.";
    HttpSaysWarn = "http says warn", "The health+json answer says warn.";
    HttpSaysFail = "http says fail", "The health+json answer says fail.";
    TlsSpoken = "tls spoken",
        "The peer answered the start of a TLS handshake; its certificate was not verified.";
    TlsAlert = "tls alert", "The peer speaks TLS and refused this handshake.";
    TlsNotSpoken = "tls not spoken", "The peer answered with something that is not TLS.";
    PostgresReady = "postgres ready", "The server takes logins, and all that was asked for holds.";
    PostgresRejecting = "postgres rejecting",
        "The server is starting up, shutting down or recovering, or cannot start a process for us.";
    PostgresFull = "postgres out of connections",
        "The server is alive and has no connection left for us.";
    PostgresLoginRefused = "postgres login refused",
        "The server is alive and does not let us in, as this user or to this database.";
    PostgresAuthUnsupported = "postgres auth unsupported",
        "The server asks for an authentication that this check does not speak.";
    PostgresWrongRole = "postgres wrong role",
        "A primary where a standby was expected, or the reverse.";
    PostgresLag = "postgres lag", "The standby is further behind than allowed.";
    PostgresQueryFailed = "postgres query failed", "The server refused the query.";
    PostgresQueryFalse = "postgres query false", "The query's answer is not true.";
    PostgresShutDown = "postgres shut down",
        "The server ended the session, by a shutdown or a crash.";
    SmtpReady = "smtp ready", "The mail server greeted us and answered EHLO.";
    SmtpRefused = "smtp refused", "The mail server answered with a code of refusal.";
    DnsAnswered = "dns answered", "The name server gave the expected answer.";
    DnsNoSuchName = "dns no such name", "The name server says that the name does not exist.";
    DnsNoRecord = "dns no record", "The name exists, without a record of this type.";
    DnsUnexpected = "dns answer not expected", "None of the records is the expected one.";
    DnsRefused = "dns refused", "The name server refuses to answer this question.";
    DnsUnreachable = "dns server unreachable", "No name server listens there.";
    DnsServerFailure = "dns server failure", "The name server could not find out.";
    FileFresh = "file as expected", "The file is there, and all that was asked for holds.";
    FileMissing = "file missing", "There is no such file.";
    FileTooOld = "file too old", "The file has not been written for longer than allowed.";
    FileUnreadable = "file unreadable", "The file cannot be read by us.";
    ProcessRunning = "process running", "The process is there.";
    ProcessMissing = "process missing", "No such process is there.";
    PidfileMissing = "pidfile missing", "There is no such pidfile.";
    PidfileMalformed = "pidfile malformed", "The pidfile has no process number.";
    ProcessUnreadable = "process list unreadable", "The list of processes cannot be read by us.";
    ExecPassed = "exec passed", "The program said ok.";
    ExecWarned = "exec warned", "The program said warn.";
    ExecFailed = "exec failed", "The program said fail.";
    ExecUnknown = "exec unknown",
        "The program said that it does not know, or nothing that can be understood.";
    ExecTimeout = "exec timeout", "The program did not end in time and was ended.";
    ExecKilled = "exec killed", "A signal that was not ours ended the program.";
    ExecNotStarted = "exec not started", "The program could not be started.";
    ExecRefused = "exec refused", "The program may be changed by others, so it is not run.";
    HeartbeatHeard = "heartbeat heard", "The last report says ok.";
    HeartbeatSaysWarn = "heartbeat says warn", "The last report says warn.";
    HeartbeatSaysFail = "heartbeat says fail", "The last report says fail.";
    HeartbeatMissed = "heartbeat missed", "No report for longer than allowed.";
    HeartbeatAwaited = "heartbeat awaited", "No report yet.";
    TrafficNormal = "traffic normal",
        "Errors and latency of the real traffic are below their limits.";
    TrafficServerErrors = "traffic 5xx rate", "Too many of the requests were answered with a 5xx.";
    TrafficErrors = "traffic error rate",
        "Too many of the requests ended in an error of connection or answer.";
    TrafficSlow = "traffic latency", "Requests took too long on the average.";
    TrafficTooLittle = "traffic too little", "Too few requests to tell.";
    TrafficSourceUnreadable = "traffic source unreadable",
        "The source of the numbers cannot be read by us.";
    TrafficSourceMalformed = "traffic source malformed",
        "The source of the numbers has not the expected form.";
    TrafficNoSuchServer = "traffic no such server", "HAProxy knows no such backend or server.";
    ConditionNotMet = "condition not met",
        "What this check waits for is not ok, so it was not run.";
    Drained = "drained", "A human put it into maintenance: it answers as failed.";
    Held = "held", "A human put it into maintenance: it keeps its state.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}
