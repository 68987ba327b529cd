//! Blocks, and what stands in `server`.
#![forbid(unsafe_code)]

use super::{Form, Keyword, Place};

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword::new(
        Place::Block,
        "server",
        Form::Alone,
        "",
        "Begins the settings of the daemon itself. It may be left out.",
        "server",
    ),
    Keyword::new(
        Place::Block,
        "defaults",
        Form::Alone,
        "",
        "Begins settings that every component takes which does not say otherwise, wherever in the\n\
         configuration it stands. What is not for a component's kind of check is passed over.",
        "defaults",
    ),
    Keyword::new(
        Place::Block,
        "component",
        Form::Words(1),
        "NAME",
        "Begins a component, answered under /NAME. A name has letters, digits, '.', '_', '-', and\n\
         '/' between them.",
        "component mail",
    ),
    Keyword::new(
        Place::Block,
        "contact",
        Form::Words(1),
        "NAME",
        "Begins a contact: somebody who is told. This version tells nobody yet.",
        "contact ops",
    ),
    Keyword::new(
        Place::Block,
        "action",
        Form::Words(1),
        "NAME",
        "Begins an action: a way to move traffic. This version moves nothing yet.",
        "action promote",
    ),
    Keyword::new(
        Place::Block,
        "failover",
        Form::Words(1),
        "NAME",
        "Begins a plan: what is done when a component fails. This version carries out none yet.",
        "failover database",
    ),
    Keyword::new(
        Place::Block,
        "include",
        Form::Words(1),
        "FILE",
        "Reads another file at this place; relative to the one that includes it. In the last part\n\
         of the path * stands for anything, and the files are read in the order of their names.",
        "include conf.d/*.conf",
    )
    .repeats(),
    Keyword::new(
        Place::Server,
        "listen",
        Form::List(1),
        "ADDRESS:PORT [only components] [allow CIDR...]",
        "An address that is answered on. 'only components' is for balancers: no page, no metrics,\n\
         no administration there. 'allow' closes the connections of all others at once. Only this\n\
         machine can ask by default, since who may ask is yours to say. An address that the\n\
         machine does not have yet, a virtual one, is tried again every second.",
        "listen 0.0.0.0:8080 only components allow 192.0.2.0/24",
    )
    .default("127.0.0.1:8080")
    .repeats(),
    Keyword::new(
        Place::Server,
        "agent-listen",
        Form::List(1),
        "ADDRESS:PORT [component NAME] [allow CIDR...]",
        "An address for HAProxy's agent-check: it answers up or down with the reason. Without a\n\
         component the checked one is named by HAProxy: agent-send \"NAME\\n\".",
        "agent-listen 127.0.0.1:8082 component web",
    )
    .repeats(),
    Keyword::new(
        Place::Server,
        "agent-controls",
        Form::List(1),
        "admin|weight...",
        "What HAProxy hands over to us beside up and down: its administrative state ('ready',\n\
         'drain'), the server's weight, or both. An operator's own 'set server' is then undone at\n\
         the next agent-check.",
        "agent-controls admin",
    )
    .default("neither, so that HAProxy's operators keep both"),
    Keyword::new(
        Place::Server,
        "default",
        Form::Words(1),
        "NAME",
        "The component that / answers for to a balancer, which is what HAProxy's bare\n\
         'option httpchk' asks.",
        "default web",
    )
    .default("the only component; with several, / answers 200 alive"),
    Keyword::new(
        Place::Server,
        "admin-socket",
        Form::Words(1),
        "PATH",
        "The Unix socket that 'failover status', 'reset', 'maint' and others talk to. Whoever may\n\
         open it may do everything, so its mode is 0600.",
        "admin-socket /run/failover/admin.sock",
    )
    .default("failover.sock in the state-dir, or none"),
    Keyword::new(
        Place::Server,
        "admin",
        Form::Words(2),
        "htpasswd|token-file FILE",
        "Who may change things over TCP: users in FILE as Apache's htpasswd -B writes it, or\n\
         whoever sends one of FILE's tokens, one a line, as Authorization: Bearer. Nobody by\n\
         default, which is answered 403.",
        "admin token-file /etc/failover/token",
    ),
    Keyword::new(
        Place::Server,
        "server-name",
        Form::List(1),
        "NAME...",
        "Host names under which browsers reach this server, so that the page's buttons work\n\
         there; addresses and localhost always do.",
        "server-name health.example.org",
    ),
    Keyword::new(
        Place::Server,
        "state-dir",
        Form::Words(1),
        "DIRECTORY",
        "Where manual resets that are due and maintenance are kept over a restart. Without it\n\
         they are lost. What is kept of a component that the configuration does not have stays,\n\
         and is told of at the start; the next reload forgets its maintenance, but no reset.",
        "state-dir /var/lib/failover",
    ),
    Keyword::new(
        Place::Server,
        "max-connections",
        Form::Words(1),
        "COUNT",
        "How many connections may be unfinished at a time. Over it the unfinished request that\n\
         has waited longest is closed; a finished one never is.",
        "max-connections 2000",
    )
    .default("three quarters of the descriptor limit"),
];
