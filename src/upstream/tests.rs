//! Real servers on loopback: what a client gets from an upstream in each of its moods.
