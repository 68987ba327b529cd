//! The kinds of checks, and the settings of each.
#![forbid(unsafe_code)]

use super::{Form, Keyword, Place};

pub(super) const KINDS: &[Keyword] = &[
    Keyword::new(
        Place::Kind,
        "tcp",
        Form::Words(1),
        "HOST:PORT",
        "Checks that a TCP service accepts connections, and with 'send' and 'expect' what it\n\
         says. HOST is a name, an IPv4 address or an IPv6 address in brackets; PORT is 1 to 65535\n\
         or the name of a service.",
        "tcp [2001:db8::1]:smtp",
    ),
    Keyword::new(
        Place::Kind,
        "http",
        Form::Words(1),
        "URL",
        "Checks the answer to an HTTP request: status, text, a number in it. An answer of type\n\
         application/health+json may also warn. https:// needs a build with the feature tls.",
        "http http://10.0.0.5/health",
    ),
    Keyword::new(
        Place::Kind,
        "tls",
        Form::Words(1),
        "HOST:PORT",
        "Checks that a service answers the start of a TLS handshake. It verifies nothing: neither\n\
         the name nor the age of a certificate.",
        "tls www.example.org:443",
    ),
    Keyword::new(
        Place::Kind,
        "postgres",
        Form::Words(1),
        "HOST:PORT",
        "Checks a PostgreSQL server: that it would take a session, and with a password its role,\n\
         its lag or the answer to a query. Neither a full server nor a wrong password is a dead\n\
         one.",
        "postgres db1.example.org:5432",
    ),
    Keyword::new(
        Place::Kind,
        "smtp",
        Form::Words(1),
        "HOST:PORT",
        "Checks that a mail server greets us and answers EHLO.",
        "smtp mail.example.org:25",
    ),
    Keyword::new(
        Place::Kind,
        "dns",
        Form::Words(1),
        "NAME",
        "Checks that a name server has an answer for NAME.",
        "dns www.example.org",
    ),
    Keyword::new(
        Place::Kind,
        "file",
        Form::Words(1),
        "PATH",
        "Checks that a file is there, and with 'fresher-than' and 'contains' its age and text.",
        "file /var/backups/last",
    ),
    Keyword::new(
        Place::Kind,
        "process",
        Form::List(1),
        "NAME | pidfile PATH",
        "Checks that a process of that name runs on this machine, or the one whose number is in a\n\
         file.",
        "process postgres",
    ),
    Keyword::new(
        Place::Kind,
        "exec",
        Form::List(1),
        "PROGRAM [ARGUMENT...]",
        "Runs a program, without a shell. Exit code 0 is ok, any other failed; see 'exit-codes'.\n\
         A program that others may write or replace is not run, nor one that stands in a\n\
         configuration of which that is so; a sticky folder such as /tmp will do for that.\n\
         Nobody writes what is mounted read-only, such as a ConfigMap.",
        "exec /usr/lib/failover/check-queue --max 100",
    ),
    Keyword::new(
        Place::Kind,
        "heartbeat",
        Form::Optional(2),
        "[htpasswd|token-file FILE]",
        "Somebody else reports: a POST to /NAME, with ?status=fail or ?status=warn if it is not\n\
         well, the body being kept as detail. Silence for longer than 'every' and 'grace' fails.\n\
         Without a credential of FILE only who may administrate can report.",
        "heartbeat token-file /etc/failover/backup.token",
    ),
    Keyword::new(
        Place::Kind,
        "haproxy-traffic",
        Form::Words(2),
        "SOCKET BACKEND/SERVER",
        "Judges the real traffic of a server by HAProxy's own counters. SOCKET is the path of its\n\
         stats socket or HOST:PORT. Without traffic it is unknown: where a balancer goes by it,\n\
         make it part of an any-of with a check that asks, or it never comes back.",
        "haproxy-traffic /run/haproxy/admin.sock web/web1",
    ),
    Keyword::new(
        Place::Kind,
        "access-log",
        Form::Words(1),
        "FILE",
        "Judges the real traffic by an access log of nginx, Apache or HAProxy, as it is written.\n\
         Where a balancer goes by it, see 'haproxy-traffic'.",
        "access-log /var/log/nginx/access.log",
    ),
    Keyword::new(
        Place::Kind,
        "all-of",
        Form::List(1),
        "NAME...",
        "Ok while all of these components are.",
        "all-of web database",
    ),
    Keyword::new(
        Place::Kind,
        "any-of",
        Form::List(1),
        "NAME...",
        "Ok while one of these components is.",
        "any-of web1 web2",
    ),
    Keyword::new(
        Place::Kind,
        "majority",
        Form::List(2),
        "of NAME...",
        "Ok while more than half of these components are; unknown ones are no votes.",
        "majority of here east west",
    ),
    Keyword::new(
        Place::Kind,
        "at-least",
        Form::List(3),
        "K of NAME...",
        "Ok while K of these components are.",
        "at-least 2 of web1 web2 web3",
    ),
    Keyword::new(
        Place::Kind,
        "not",
        Form::Words(1),
        "NAME",
        "Ok while that component is failed.",
        "not other-site",
    ),
];

/// Those that connect over TCP to a host of their own.
const CONNECTING: &[&str] = &["tcp", "http", "tls", "postgres", "smtp"];

/// Those that wait for somebody else.
const WAITING: &[&str] = &[
    "tcp",
    "http",
    "tls",
    "postgres",
    "smtp",
    "dns",
    "exec",
    "haproxy-traffic",
];

const TRAFFIC: &[&str] = &["haproxy-traffic", "access-log"];

pub(super) const SETTINGS: &[Keyword] = &[
    Keyword::new(
        Place::Check,
        "timeout",
        Form::Words(1),
        "DURATION",
        "How long one check may take in all, resolving included. Three seconds outlast one lost\n\
         packet, which the system sends again after one second.",
        "timeout 10s",
    )
    .default("3s, or the shortest pace of 'every' if that is less")
    .of(WAITING),
    Keyword::new(
        Place::Check,
        "connect-timeout",
        Form::Words(1),
        "DURATION",
        "How long resolving and connecting may take, where that is to be less than 'timeout'.",
        "connect-timeout 1s",
    )
    .default("as 'timeout'")
    .of(CONNECTING),
    Keyword::new(
        Place::Check,
        "source",
        Form::Words(1),
        "HOST",
        "The address of this machine to connect from.",
        "source 192.0.2.7",
    )
    .default("what the system chooses")
    .of(CONNECTING),
    Keyword::new(
        Place::Check,
        "source-port",
        Form::Words(1),
        "PORT",
        "The port to connect from. The connection is then reset when it is closed, since an\n\
         orderly close would keep the port from being used again for a minute.",
        "source-port 1025",
    )
    .default("any")
    .of(CONNECTING),
    Keyword::new(
        Place::Check,
        "family",
        Form::Words(1),
        "any|4|6|all",
        "Which addresses of a name count: the first that answers (any), of IPv4 or IPv6 only, or\n\
         every one has to answer (all).",
        "family all",
    )
    .default("any")
    .of(CONNECTING),
    Keyword::new(
        Place::Check,
        "send",
        Form::Words(1),
        "TEXT",
        "What is sent once connected. In quotes \\r \\n \\t \\xNN stand for bytes.",
        "send \"PING\\r\\n\"",
    )
    .default("nothing")
    .of(&["tcp"]),
    Keyword::new(
        Place::Check,
        "expect",
        Form::Words(1),
        "TEXT",
        "tcp: the text that has to come, anywhere in what the service says. dns: the record that\n\
         has to be among the answers.",
        "expect \"+PONG\"",
    )
    .default("anything")
    .of(&["tcp", "dns"]),
    Keyword::new(
        Place::Check,
        "method",
        Form::Words(1),
        "METHOD",
        "The method of the request.",
        "method HEAD",
    )
    .default("GET")
    .of(&["http"]),
    Keyword::new(
        Place::Check,
        "header",
        Form::Words(2),
        "NAME VALUE",
        "A header of the request.",
        "header Accept \"text/plain, text/html\"",
    )
    .of(&["http"])
    .repeats(),
    Keyword::new(
        Place::Check,
        "host",
        Form::Words(1),
        "NAME",
        "The Host header of the request, to ask a server by its address for one of its sites.",
        "host www.example.org",
    )
    .default("the URL's")
    .of(&["http"]),
    Keyword::new(
        Place::Check,
        "expect-status",
        Form::Words(1),
        "STATUS[-STATUS][,...]",
        "The HTTP statuses that are ok.",
        "expect-status 200-299,401",
    )
    .default("200-299")
    .of(&["http"]),
    Keyword::new(
        Place::Check,
        "expect-body",
        Form::Words(1),
        "TEXT",
        "Text that has to be in the body of the answer.",
        "expect-body \"all systems go\"",
    )
    .default("anything")
    .of(&["http"]),
    Keyword::new(
        Place::Check,
        "follow",
        Form::Words(1),
        "COUNT",
        "How many redirects are followed, all within the one timeout. None by default: when you\n\
         check something you want to know what.",
        "follow 2",
    )
    .default("0")
    .of(&["http"]),
    Keyword::new(
        Place::Check,
        "value",
        Form::Words(3),
        "KEY below|above NUMBER",
        "A number in the answer: the path into a JSON text, with dots, or a metric in Prometheus\n\
         format, with labels or without: jobs{queue=\"mail\"}; of several the first counts. It\n\
         has to be below or above the limit.",
        "value queue.depth below 1000",
    )
    .of(&["http", "exec"]),
    Keyword::new(
        Place::Check,
        "sni",
        Form::Words(1),
        "NAME",
        "The name that the TLS handshake asks for.",
        "sni www.example.org",
    )
    .default("the host, unless it is an address")
    .of(&["tls"]),
    Keyword::new(
        Place::Check,
        "user",
        Form::Words(1),
        "NAME",
        "postgres: whom we say we are; nobody logs in unless a session is needed. exec: whom the\n\
         program runs as, which only root can.",
        "user monitor",
    )
    .default("postgres: postgres; exec: whom the daemon runs as")
    .of(&["postgres", "exec"]),
    Keyword::new(
        Place::Check,
        "database",
        Form::Words(1),
        "NAME",
        "The database to log in to.",
        "database app",
    )
    .default("the user's name")
    .of(&["postgres"]),
    Keyword::new(
        Place::Check,
        "password-file",
        Form::Words(1),
        "FILE",
        "The file whose first line is the password. It is read at every check and never shown;\n\
         its mode has to be 0600 or 0640.",
        "password-file /etc/failover/pg.password",
    )
    .default("no password")
    .of(&["postgres"]),
    Keyword::new(
        Place::Check,
        "query",
        Form::Words(1),
        "SQL",
        "A query whose first column has to be true in its first row.",
        "query \"select count(*) < 100 from queue\"",
    )
    .of(&["postgres"]),
    Keyword::new(
        Place::Check,
        "role",
        Form::Words(1),
        "primary|standby",
        "The role that the server has to have.",
        "role primary",
    )
    .of(&["postgres"]),
    Keyword::new(
        Place::Check,
        "max-lag",
        Form::Words(1),
        "DURATION|SIZE",
        "How far a standby's replay may be behind what it has received and what the primary had\n\
         announced, in time or in bytes. One that receives nothing more only warns.",
        "max-lag 16MiB",
    )
    .of(&["postgres"]),
    Keyword::new(
        Place::Check,
        "helo",
        Form::Words(1),
        "NAME",
        "The name we give in EHLO.",
        "helo monitor.example.org",
    )
    .default("this machine's name, or its address")
    .of(&["smtp"]),
    Keyword::new(
        Place::Check,
        "type",
        Form::Words(1),
        "TYPE",
        "The type of record: A AAAA CNAME MX NS PTR SOA SRV TXT.",
        "type MX",
    )
    .default("A")
    .of(&["dns"]),
    Keyword::new(
        Place::Check,
        "server",
        Form::Words(1),
        "HOST[:PORT]",
        "The name server to ask. With one of our own resolvers its silence says nothing of NAME;\n\
         with this setting it is the server that is checked.",
        "server 192.0.2.53",
    )
    .default("the first of /etc/resolv.conf")
    .of(&["dns"]),
    Keyword::new(
        Place::Check,
        "no-recursion",
        Form::Alone,
        "",
        "The name server is asked for what it is responsible for itself, not to ask others.",
        "no-recursion",
    )
    .default("off")
    .of(&["dns"]),
    Keyword::new(
        Place::Check,
        "fresher-than",
        Form::Words(1),
        "DURATION",
        "How long ago the file may have been written last.",
        "fresher-than 25h",
    )
    .default("any age")
    .of(&["file"]),
    Keyword::new(
        Place::Check,
        "contains",
        Form::Words(1),
        "TEXT",
        "Text that has to be in the first 1 MiB of the file.",
        "contains complete",
    )
    .default("anything")
    .of(&["file"]),
    Keyword::new(
        Place::Check,
        "exit-codes",
        Form::Words(1),
        "plain|nagios",
        "What the program's exit code means. plain: 0 is ok, all others failed; nagios: 0 ok, 1\n\
         warning, 2 failed, 3 unknown.",
        "exit-codes nagios",
    )
    .default("plain")
    .of(&["exec"]),
    Keyword::new(
        Place::Check,
        "grace",
        Form::Words(1),
        "DURATION",
        "How late a report may be.",
        "grace 10m",
    )
    .default("as long as 'every'")
    .of(&["heartbeat"]),
    Keyword::new(
        Place::Check,
        "window",
        Form::Words(1),
        "DURATION",
        "How far back the traffic is looked at.",
        "window 1m",
    )
    .default("30s")
    .of(TRAFFIC),
    Keyword::new(
        Place::Check,
        "5xx-rate",
        Form::Words(1),
        "PERCENT",
        "How many of the requests may be answered with a 5xx.",
        "5xx-rate 2%",
    )
    .default("5%, unless only another limit is given")
    .of(TRAFFIC),
    Keyword::new(
        Place::Check,
        "error-rate",
        Form::Words(1),
        "PERCENT",
        "How many of the requests may fail between the proxy and its server: refused, timed out,\n\
         cut off.",
        "error-rate 1%",
    )
    .default("5%, unless only another limit is given")
    .of(TRAFFIC),
    Keyword::new(
        Place::Check,
        "latency",
        Form::Words(1),
        "DURATION",
        "How long requests may take on the average. nginx's log needs rt=$request_time at the\n\
         end of its log_format.",
        "latency 500ms",
    )
    .default("any")
    .of(TRAFFIC),
    Keyword::new(
        Place::Check,
        "min-requests",
        Form::Words(1),
        "COUNT",
        "Fewer requests than this in the window tell nothing, and the outcome is unknown.",
        "min-requests 100",
    )
    .default("20")
    .of(TRAFFIC),
    Keyword::new(
        Place::Check,
        "non-critical",
        Form::List(1),
        "NAME...",
        "Of the components that this one is made of, those whose failure is only a warning.",
        "non-critical cache",
    )
    .of(&["all-of", "any-of", "majority", "at-least"]),
];
