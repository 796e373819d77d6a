"""Every limit of formats, protocol and memory, with its reason. No I/O.

Sizes are bytes, times are seconds. The assertions at the end tie the limits to one another.
"""

from __future__ import annotations

from typing import Final

# Formats
KEY_BYTES: Final = 32  # Ed25519 verification key, and its seed
HASH_BYTES: Final = 32  # SHA-256
SIGNATURE_BYTES: Final = 64  # Ed25519
STORE_ID_BYTES: Final = 16  # random, so that a replaced disk is noticed
START_ID_BYTES: Final = 16  # random, so that a promise to one start of an author is none to the next
ANSWER_BYTES_MAX: Final = 1024  # a witness's signed answer: some numbers and hashes, and a signature
UINT_MAX: Final = (1 << 63) - 1  # fits a signed 64-bit column in whatever reads our files
MEMBERS_MAX: Final = 256  # the tips of all logs must fit one control message
ALIAS_BYTES_MAX: Final = 64  # shown in tables
NETWORK_NAME_BYTES_MAX: Final = 256

EVENT_BYTES_MAX: Final = 1 << 20  # an event is verified in memory
EVENTS_PER_BATCH_MAX: Final = 1 << 16  # bounds the CPU of decoding one body
BODY_BYTES_MAX: Final = EVENT_BYTES_MAX + 16  # the largest event and the heads round it
HEADER_BYTES_MAX: Final = 128  # seven items; the template has room for 64-bit numbers
COSE_BYTES_MAX: Final = 256
COSE_PAYLOAD_BYTES_MAX: Final = 160  # of a ballot or an answer: numbers, a hash and two random names
RECORD_BYTES_MAX: Final = 4 + COSE_BYTES_MAX + 5 + BODY_BYTES_MAX
DEPTH_MAX: Final = 8  # nesting of any structure of ours; events have EVENT_DEPTH_MAX
EVENT_DEPTH_MAX: Final = 64

# Protocol
FRAME_BYTES_MAX: Final = RECORD_BYTES_MAX + 64  # one Data message with the largest record
CONTROL_BYTES_MAX: Final = 128 << 10  # any other message: CBOR of tiny items takes 4 s a megabyte to decode
RUN_RECORDS_MAX: Final = 239  # in one Data: a conflict between two runs is proven by the headers of both
DATA_BYTES_TARGET: Final = 256 << 10  # one signature check and one disk read a chunk
CREDIT_BYTES: Final = 2 << 20  # what one fetch may have in flight: a window, and memory
CREDIT_BYTES_MAX: Final = 64 << 20  # more than this granted to one fetch is an attack
FETCHES_PER_SESSION_MAX: Final = 64 + 2 * MEMBERS_MAX  # every log followed, and ranges
AGENT_BYTES_MAX: Final = 128
ADDRESS_BYTES_MAX: Final = 300  # a DNS name (RFC 1035: 255) and a port
TEXT_BYTES_MAX: Final = 1024  # any reason given for people
HOLES_MAX: Final = 16  # damaged ranges shown per log; a log with more shows the first ones
OUTBOX_BYTES_MAX: Final = 8 << 20  # unsent control messages; a peer that never reads is dropped
OUTBOX_BYTES_LOW: Final = 1 << 20  # above this no more records are read for a peer
FORK_HEADERS_MAX: Final = (
    240  # of one branch of a fork proof: from a conflict to a signature of an author that spares them
)
EVIDENCE_BYTES_MAX: Final = 2 * FORK_HEADERS_MAX * (COSE_BYTES_MAX + 3) + 256  # a fork proof, as a file or a message
RECEIPT_BATCHES_MAX: Final = 8192  # batches of our own log whose hashes are at hand to check a receipt

# Fetching
RANGE_BYTES_TARGET: Final = 1 << 20  # a range is long against a round trip, short against a window
RANGE_EVENTS_FIRST: Final = 1024  # before the size of this log's events is known
RANGES_PER_SOURCE: Final = 2  # one travels while one is read
RANGES_PER_LOG: Final = 4  # bounds what waits out of order: RANGES_PER_LOG * CREDIT_BYTES
RANGES_PER_NODE: Final = 8  # over all logs: bounds memory however many members there are
STALL_S: Final = 5.0  # no progress for so long and the range goes to another source
STALL_PENALTY_S: Final = 30.0  # a stalled source is the last choice for so long, doubling each time
STALL_DOUBLINGS_MAX: Final = 5  # up to a quarter of an hour
BROKEN_MAX: Final = 2  # so often in a row a member may leave without what it owes; then it is the last choice
PARTINGS_MAX: Final = 3  # so often in a row a source may part from us, and be asked again as soon as it shows more
LAG_S: Final = 1.0  # an author that others have overtaken may still send it itself within
CANCELLED_PER_SESSION_MAX: Final = 32  # fetches cancelled and not ended; who ends none is dropped
PROGRESS_BYTES: Final = 4096  # a source that sends less within STALL_S, and has more, makes no progress

# Sessions
HANDSHAKE_S: Final = 10.0  # TLS, Hello and first Tips; a half-open connection costs no more
PING_S: Final = 5.0  # silence before we ask
SILENCE_S: Final = 15.0  # silence before we give up
FRAME_S: Final = 30.0  # one frame, however slow: a drip feed ends here
PROBE_S: Final = 2.0  # an old connection must answer within, or the new one replaces it
NEWS_S: Final = 1.0  # tips that nobody waits for: meanwhile more of them come together
NEWS_S_MIN: Final = 0.1  # and they go with others that somebody waits for, not with all
SHUN_S: Final = 5.0  # a peer that broke the protocol is not spoken to again before
HANDSHAKES_MAX: Final = 64  # strangers at the door at once; one more, and the oldest has to go
UNINTRODUCED_MAX: Final = 4  # connections of one member that have not shown their tips; the oldest go
PROCESSES_MAX: Final = 2  # of one member, connected at once: the older is to hear from us that it is the older
TOOLS_MAX: Final = 16  # tool connections at once
DIAL_S_MAX: Final = 10.0  # one attempt to connect
DIAL_DELAY_S_MIN: Final = 0.1
DIAL_DELAY_S_MAX: Final = 5.0

# Recovery
ASK_AGAIN_S: Final = 2.0  # a witness that could not promise may be able to now
PATIENCE_S_MAX: Final = 64.0  # answers that others need not give may take so long; who refuses gains no more than that
PASS_AGAIN_S: Final = (
    1.0  # a relay asks again, or passes on what is newer, no sooner: whenever the author asks again, and no more
)
ADOPT_S: Final = 10.0  # who alone has what a start must adopt may come back within; then others are asked
DOUBT_S: Final = FRAME_S + STALL_S  # who shows that may have lied if, for longer than a frame may take, none came
YIELD_S: Final = 2 * ASK_AGAIN_S  # who asks with an author's key has begun by then, asked again, or gone
BALLOT_JUMP_MAX: Final = 1 << 20  # above ours: nobody has started so often, and a liar cannot use up all numbers
FORK_NEWS_MAX: Final = 16  # proofs of one log passed on though they show no earlier conflict
CHECKPOINT_STATE_BYTES_MAX: Final = 768 << 10  # an application's state, and the ends of all logs, are one event
REBASE_BYTES_MAX: Final = 16 << 20  # of another branch, held until it is known that it takes the place of ours

# Store
SEGMENT_BYTES: Final = 64 << 20
INDEX_STEP_BYTES: Final = 64 << 10  # one index entry for so much log: a seek reads no more
INDEX_FLUSH_BYTES: Final = 1 << 20  # opening scans and rewrites no more than this, about
EXTENT_BYTES_MIN: Final = 64 << 10  # preallocation of a new segment
EXTENT_BYTES_MAX: Final = 8 << 20  # doubling up to here; zero-filling this takes a few ms
COMMIT_BYTES_MAX: Final = 4 << 20  # one write and sync of a replica
RECENT_BYTES: Final = 256 << 10  # of each log in memory: live readers never touch the disk
PENDING_BYTES_MAX: Final = 16 << 20  # appends waiting for a sync; more have to wait to enter

assert RUN_RECORDS_MAX < FORK_HEADERS_MAX
assert EVENT_BYTES_MAX < BODY_BYTES_MAX < RECORD_BYTES_MAX < FRAME_BYTES_MAX
assert EVENTS_PER_BATCH_MAX <= BODY_BYTES_MAX  # an empty event is one byte
assert COSE_BYTES_MAX > HEADER_BYTES_MAX + SIGNATURE_BYTES + 16
assert COSE_BYTES_MAX > COSE_PAYLOAD_BYTES_MAX + SIGNATURE_BYTES + 16
assert MEMBERS_MAX * (KEY_BYTES + COSE_BYTES_MAX + 8) < EVENT_BYTES_MAX  # all answers fit one epoch batch
assert CHECKPOINT_STATE_BYTES_MAX + MEMBERS_MAX * (KEY_BYTES + HASH_BYTES + COSE_BYTES_MAX + 32) < EVENT_BYTES_MAX
assert MEMBERS_MAX * (112 + HOLES_MAX * 19) < CONTROL_BYTES_MAX  # Tips with every number at its largest
assert EVIDENCE_BYTES_MAX < CONTROL_BYTES_MAX
assert CREDIT_BYTES >= 2 * DATA_BYTES_TARGET
assert CREDIT_BYTES * 3 // 4 > FRAME_BYTES_MAX  # credit returns in quarters; the largest record must still fit
assert CREDIT_BYTES <= CREDIT_BYTES_MAX
assert COMMIT_BYTES_MAX > RECORD_BYTES_MAX
assert SEGMENT_BYTES > COMMIT_BYTES_MAX + EXTENT_BYTES_MAX
assert OUTBOX_BYTES_LOW + FRAME_BYTES_MAX < OUTBOX_BYTES_MAX
assert PING_S < SILENCE_S < FRAME_S
assert PASS_AGAIN_S < ASK_AGAIN_S
