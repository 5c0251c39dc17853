//! Who tries to log in, as the counters know them: by digests, so that they hold no names.

use super::KnownDevice;
use crate::accounts::LoginName;
use crate::inbound::ClientNet;
use crate::shared::Digest;

/// Who tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A device that logged in to this account before.
    Device(Device),
    Stranger(Stranger),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub login: Digest,
    pub device: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stranger {
    pub login: Digest,
    pub network: Digest,
}

/// One counter, or one thing that is remembered. Only passwords for now: one-time codes get
/// counters of their own beside these, so that guessing one never locks the other.
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
    /// Until when a network is known to an account.
    KnownNetwork {
        login: Digest,
        network: Digest,
    },
}

impl Subject {
    pub(super) fn of(login: &LoginName, client: ClientNet, device: KnownDevice<'_>) -> Self {
        let login = Digest::of(&[b"login", login.key().as_bytes()]);
        match device {
            KnownDevice::Yes(id) => Subject::Device(Device {
                login,
                device: Digest::of(&[b"device", id.as_bytes()]),
            }),
            KnownDevice::No => Subject::Stranger(Stranger {
                login,
                network: Digest::of(&[b"network", client.to_string().as_bytes()]),
            }),
        }
    }
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
            Counter::KnownNetwork { login, network } => {
                format!("{prefix}:lockout:{{{login}}}:known:{network}")
            }
        }
    }
}
