//! The express lane's parties as state machines without I/O: virtual time and events in, messages, records and jobs out.
