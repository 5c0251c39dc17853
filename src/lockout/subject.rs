//! Who tries to log in, as the counters know them: by digests, so that they hold no names.

use super::{Claimed, KnownDevice};
use crate::accounts::AccountId;
use crate::inbound::ClientNet;
use crate::shared::Digest;

/// Who tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A device that logged in to this account before.
    Device(Device),
    /// Anybody else, under the name that was typed.
    Stranger(Stranger),
    /// The same once more, as the account that the name leads to. The network has been counted.
    Holder(Stranger),
    /// Somebody who had the password of this account, or a session, and now shows a code.
    Code(Digest),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub login: Digest,
    pub device: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stranger {
    /// Of the name, or of the account.
    pub login: Digest,
    pub network: Digest,
}

/// One counter, or one thing that is remembered. Codes have a counter of their own beside those of
/// passwords, so that guessing one never locks the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Counter {
    Device {
        login: Digest,
        device: Digest,
    },
    Network {
        network: Digest,
    },
    Account {
        login: Digest,
    },
    Pair {
        login: Digest,
        network: Digest,
    },
    /// Codes of a second factor.
    Code {
        login: Digest,
    },
    /// Until when a network is known to an account.
    KnownNetwork {
        login: Digest,
        network: Digest,
    },
}

impl Subject {
    /// Whoever shows a code of this account, from wherever.
    pub(super) fn code(account: AccountId) -> Self {
        Self::Code(holder(account))
    }

    /// What is counted for all to see, and what is counted in silence. A name that nobody has is
    /// counted like any other: as the account of that name.
    pub(super) fn of(
        claimed: Claimed<'_>,
        client: ClientNet,
        device: KnownDevice<'_>,
    ) -> (Self, Option<Self>) {
        let login = claimed.login.key().as_bytes();
        let holder = match claimed.account {
            Some(account) => holder(account),
            None => Digest::of(&[b"nobody", login]),
        };
        match device {
            // Whose device it is has been proved: there is nothing to hide.
            KnownDevice::Yes(id) => {
                let device = Digest::of(&[b"device", id.as_bytes()]);
                let login = holder;
                (Subject::Device(Device { login, device }), None)
            }
            KnownDevice::No => {
                let network = Digest::of(&[b"network", client.to_string().as_bytes()]);
                let as_login = |login| Stranger { login, network };
                let login = Digest::of(&[b"login", login]);
                let hidden = Subject::Holder(as_login(holder));
                (Subject::Stranger(as_login(login)), Some(hidden))
            }
        }
    }
}

/// An account, whatever name leads to it.
fn holder(account: AccountId) -> Digest {
    Digest::of(&[b"account", account.to_string().as_bytes()])
}

impl Stranger {
    pub(super) fn network(self) -> Counter {
        let network = self.network;
        Counter::Network { network }
    }

    pub(super) fn account(self) -> Counter {
        let login = self.login;
        Counter::Account { login }
    }

    pub(super) fn pair(self) -> Counter {
        let Stranger { login, network } = self;
        Counter::Pair { login, network }
    }

    pub(super) fn known_network(self) -> Counter {
        let Stranger { login, network } = self;
        Counter::KnownNetwork { login, network }
    }
}

impl Device {
    pub(super) fn counter(self) -> Counter {
        let Device { login, device } = self;
        Counter::Device { login, device }
    }
}

impl Counter {
    /// The key in Redis. All that one script touches has the login's hash tag (Redis Cluster).
    pub(super) fn place(self, prefix: &str) -> String {
        match self {
            Counter::Device { login, device } => {
                format!("{prefix}:lockout:{{{login}}}:device:{device}")
            }
            Counter::Network { network } => format!("{prefix}:lockout:network:{network}"),
            Counter::Account { login } => format!("{prefix}:lockout:{{{login}}}:account"),
            Counter::Pair { login, network } => {
                format!("{prefix}:lockout:{{{login}}}:pair:{network}")
            }
            Counter::Code { login } => format!("{prefix}:lockout:{{{login}}}:code"),
            Counter::KnownNetwork { login, network } => {
                format!("{prefix}:lockout:{{{login}}}:known:{network}")
            }
        }
    }
}
