//! Too many wrong passwords: counted per account, per network and per pair, never turned on the victim.
