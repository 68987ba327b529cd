//! How a check gets to its target: the same four builder methods for every check that connects.
#![forbid(unsafe_code)]

/// Gives a check with a field `target: Target` the methods that say how it connects.
macro_rules! way_to_target {
    ($check:ident) => {
        /// How it connects.
        impl $check {
            /// How long resolving and connecting may take of the whole. Default: all of it.
            ///
            /// # Errors
            /// A length of time that cannot be.
            pub fn connect_timeout<T>(mut self, timeout: T) -> Result<$check, crate::error::Error>
            where
                T: TryInto<crate::units::Span>,
                crate::error::Error: From<T::Error>,
            {
                let timeout: crate::units::Span = timeout.try_into()?;
                self.target.connect_timeout = Some(timeout.duration());
                Ok(self)
            }

            /// Connects from this address of the machine, or from the one that this name has.
            /// Default: the one that the system chooses.
            ///
            /// # Errors
            /// A host that cannot be.
            pub fn source_host(mut self, host: &str) -> Result<$check, crate::error::Error> {
                self.target.source_host = Some(crate::net::dial::checked_host(host)?);
                Ok(self)
            }

            /// Connects from this port. Default: any. The connection is then reset when it is
            /// closed, since an orderly close would keep the port from being used again for a
            /// minute; some services log that.
            ///
            /// # Errors
            /// A port that cannot be.
            pub fn source_port<P>(mut self, port: P) -> Result<$check, crate::error::Error>
            where
                P: TryInto<crate::net::port::Port>,
                crate::error::Error: From<P::Error>,
            {
                self.target.source_port = Some(port.try_into()?);
                Ok(self)
            }

            /// Which addresses of a name count. Default: any.
            pub fn family(mut self, family: crate::net::dial::Family) -> $check {
                self.target.family = family;
                self
            }
        }
    };
}

pub(super) use way_to_target;
