/**
 * Everything is bounded, and every bound has a name and a unit. Relations between bounds are asserted when this
 * module loads. Those marked (setting) are defaults of a server setting.
 */
import { assert } from './assert.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** Largest command that a client may propose, encoded. */
export const COMMAND_BYTES_MAX = 512 * KiB;
/** Largest gRPC message on the client port; a command plus room for framing. */
export const CLIENT_MESSAGE_BYTES_MAX = 1 * MiB;
/** Largest gRPC metadata (headers) on either port. */
export const METADATA_BYTES_MAX = 16 * KiB;
/** Of the HTTP port: largest body and headers of a request, time for one to arrive, and connections at a time. */
export const HTTP_BODY_BYTES_MAX = 64 * KiB;
export const HTTP_HEADER_BYTES_MAX = 16 * KiB;
export const HTTP_REQUEST_MS_MAX = 10_000;
export const HTTP_CONNECTIONS_MAX = 256;
/** Largest gRPC message on the peer port. */
export const PEER_MESSAGE_BYTES_MAX = 8 * MiB;
/** Entries of one AppendEntries, in payload bytes; one larger entry may travel alone. */
export const APPEND_BYTES_MAX = 1 * MiB;
/** Entries of one AppendEntries, in count. */
export const APPEND_ENTRIES_MAX = 4096;
/** AppendEntries in flight to one follower, in messages and in payload bytes. */
export const INFLIGHT_MESSAGES_MAX = 64;
export const INFLIGHT_BYTES_MAX = 8 * MiB;
/** Payload bytes that a leader appends but has not committed; proposals beyond it are refused (A5). */
export const UNCOMMITTED_BYTES_MAX = 32 * MiB;
/**
 * Applied entries kept in memory for followers that lag a little; older ones are read back from the log. Small entries
 * take about four times this in memory: objects and buffers around them.
 */
export const LOG_CACHE_BYTES_MAX = 4 * MiB;
/** Entries applied before the tables are written to the store, payload bytes (setting). Bounds what a restart replays. */
export const STORE_FLUSH_BYTES = 4 * MiB;
/** What the log keeps behind the store for followers that lag a little, and for active ones that lag more, bytes (settings). */
export const LOG_KEEP_BYTES = 64 * MiB;
export const LOG_KEEP_SLOW_BYTES = 256 * MiB;
/** Rows in one piece of an image on its way to a follower, bytes before compression, and pieces in flight: heartbeats share the stream. */
export const SNAPSHOT_CHUNK_BYTES = 128 * KiB;
export const SNAPSHOT_CHUNKS_IN_FLIGHT = 2;
/** Largest such piece, bytes before compression: one larger row has one of its own. */
export const SNAPSHOT_CHUNK_BYTES_MAX = 4 * MiB;
/** Longest time that an image is kept open for a follower that does not answer, milliseconds: it holds disk space. */
export const SNAPSHOT_IDLE_MS_MAX = 60_000;
/** Backups under way at a time in one member; each holds an image open. Images for followers are bounded by their number. */
export const IMAGES_MAX = 8;
/** A learner this far behind may become a voter, entries. */
export const PROMOTE_LAG_ENTRIES = 1_000;
/** Mutations that wait for their commit in one member, in count and in bytes (A5). */
export const PROPOSALS_MAX = 1_536;
export const PROPOSAL_BYTES_MAX = 16 * MiB;
/** Mutations that a follower has passed on and not heard of, in bytes; their count is bounded by PROPOSALS_MAX (A5). */
export const FORWARDED_BYTES_MAX = 4 * MiB;
/** What names the connection of a client: an address and a port. */
export const CLIENT_KEY_LENGTH_MAX = 128;
/** Linearizable reads that wait for their ReadIndex in one member. */
export const READS_MAX = 4096;
/** Envelopes queued for one peer while it is slow. */
export const PEER_QUEUE_BYTES_MAX = 16 * MiB;
export const PEER_QUEUE_MESSAGES_MAX = 8192;
/** Envelopes share a frame up to this size; one larger envelope may travel alone. */
export const PEER_FRAME_BYTES_MAX = 256 * KiB;
/** Frames handed to the socket and not yet taken by it, for one peer; what comes after waits in the queue. */
export const PEER_FRAMES_IN_WRITE_MAX = 4;
/** Streams to the peer port that have not said who they are. */
export const PEER_STREAMS_UNKNOWN_MAX = 64;
/** Longest time for a connection and its hello, milliseconds; then it is given up and tried again. */
export const PEER_HELLO_TIMEOUT_MS = 2_000;
/** Largest `identity.json`: it names each member once. */
export const IDENTITY_BYTES_MAX = 64 * KiB;
/** Wait before a reconnect, milliseconds: starts at the first, doubles up to the second, with jitter. Failover needs it short. */
export const PEER_RECONNECT_MIN_MS = 20;
export const PEER_RECONNECT_MAX_MS = 1_000;
/** Pings on a silent peer connection, and how long the answer may take, milliseconds. */
export const PEER_KEEPALIVE_MS = 2_000;
export const PEER_KEEPALIVE_TIMEOUT_MS = 3_000;
/** The same on client connections: cheap enough for thousands of them. */
export const CLIENT_KEEPALIVE_MS = 30_000;
export const CLIENT_KEEPALIVE_TIMEOUT_MS = 10_000;
/** Calls and watches at once on one client connection, and streams on one peer connection. */
export const CLIENT_STREAMS_MAX = 512;
export const PEER_STREAMS_MAX = 16;
/** Largest gRPC answer on the client port; 4 MiB is what clients in other languages accept unless told otherwise. */
export const CLIENT_ANSWER_BYTES_MAX = 4 * MiB;
/** Calls in one member whose request is not complete, in count, in bytes received, and the time for one, milliseconds. */
export const PARTIAL_CALLS_MAX = 4_096;
export const PARTIAL_CALL_BYTES_MAX = 64 * MiB;
export const PARTIAL_CALL_MS_MAX = 60_000;
/**
 * Answers that clients have not taken from one member, in bytes, and the time for one, milliseconds. When they are too
 * many, the ones older than the last give way to new ones.
 */
export const UNTAKEN_ANSWER_BYTES_MAX = 64 * MiB;
export const UNTAKEN_ANSWER_MS_MAX = 60_000;
export const UNTAKEN_ANSWER_STALE_MS = 1_000;
/**
 * Pipelines in one member, those of one connection among them, what they hold together in bytes, and how long one of them has had nothing to
 * do before it gives way to another one, milliseconds; of each, calls without an answer, and bytes of their requests and of answers that are
 * not taken, beyond which nothing more begins; answers share a message up to the last but one. Larger requests than the last are sent by
 * themselves by the client library: as many of the others as may be under way fit what the member holds, so that none lies unread while its
 * time runs.
 */
export const PIPELINES_MAX = 256;
export const PIPELINES_PER_CONNECTION_MAX = 16;
export const PIPELINES_BYTES_MAX = 64 * MiB;
export const PIPELINE_IDLE_MS = 1_000;
export const PIPELINE_CALLS_MAX = 256;
export const PIPELINE_BYTES_MAX = 1 * MiB;
export const PIPELINE_MESSAGE_BYTES_MAX = 256 * KiB;
export const PIPELINED_REQUEST_BYTES_MAX = 4_000;
/** What a call in a pipeline costs a member beside the bytes of its request or its answer. */
export const PIPELINE_SLOT_BYTES = 64;
/** A page or a watch message ends early when it would pass this, in estimated bytes; one larger row travels alone. */
export const PAGE_BYTES_MAX = 1 * MiB;
export const WATCH_MESSAGE_BYTES_MAX = 256 * KiB;
/** Longest silence of a watch, milliseconds: then a progress notice says how far it has come. */
export const WATCH_PROGRESS_MS = 2_000;
/** Watches in one member, and events buffered for one of them before it is cut off. */
export const WATCHES_MAX = 1024;
export const WATCH_BUFFER_EVENTS_MAX = 4096;
/** Events kept for watches to resume from; older ones are compacted, at the same point on every replica (P4). */
export const EVENT_HISTORY_MAX = 50_000;
/**
 * Sessions in the replicated state, and answers remembered for one of them (R6). The largest answer is a phase begun: a
 * checkpoint and a vector clock, about 72 Ki code units; a session that never acknowledges holds at most 256 such.
 */
export const SESSIONS_MAX = 20_000;
export const SESSION_ANSWERS_MAX = 256;
/** Session time to live, milliseconds. */
export const SESSION_TTL_MIN_MS = 1_000;
export const SESSION_TTL_DEFAULT_MS = 60_000;
export const SESSION_TTL_MAX_MS = 24 * 60 * 60 * 1000;
/** Members of one cluster. */
export const MEMBERS_MAX = 7;
/** Changes in one `changeMembers`: all members replaced, each by an add and a remove. */
export const MEMBER_CHANGES_MAX = 2 * MEMBERS_MAX;
/** Rows about members in the replicated state; beyond it the longest removed ones are forgotten, and their ids are free again. */
export const MEMBER_ROWS_MAX = 256;
/** A network address: a name of 255 characters, a colon and a port; in UTF-16 code units. */
export const ADDRESS_LENGTH_MAX = 261;
/** Loops, plans, phases of a plan, and sub-steps of one phase run. */
export const LOOPS_MAX = 100_000;
export const PLANS_MAX = 1_000;
export const PLAN_PHASES_MAX = 64;
export const SUB_STEPS_MAX = 200_000;
/** Sub-steps in one progress report. */
export const SUB_STEPS_PER_REPORT_MAX = 1_000;
/** Ids in the answer to a progress report, code units in all: sessions remember answers, so these must be small. */
export const SUB_STEPS_KNOWN_LENGTH_MAX = 16 * KiB;
/** Closed rounds of a loop that stay readable; older ones are dropped when a round closes. */
export const ROUNDS_KEPT = 8;
/** Lengths in UTF-16 code units. */
export const NAME_LENGTH_MAX = 128;
export const SUB_STEP_ID_LENGTH_MAX = 1_024;
export const SUB_STEP_RESULT_LENGTH_MAX = 16 * KiB;
export const PHASE_RESULT_LENGTH_MAX = 64 * KiB;
export const CHECKPOINT_LENGTH_MAX = 64 * KiB;
export const NOTE_LENGTH_MAX = 1_024;
/** Why a phase was aborted. */
export const ABORT_REASON_LENGTH_MAX = 4 * KiB;
/** Longest prior and SLA of a plan's phase, milliseconds. */
export const PHASE_DURATION_MAX_MS = 366 * 24 * 60 * 60 * 1000;
/** Attempts of one phase run that stay readable; the oldest goes when a new one begins. */
export const ATTEMPTS_KEPT = 100;
/** Rows that due timers may remove in one apply; what is left goes with the next (R7: the same on every replica). */
export const TIMER_ROWS_PER_APPLY_MAX = 1_000;
/** Latest cluster time, milliseconds since the Unix epoch: the end of what ECMAScript's Date can show. */
export const CLUSTER_TIME_MAX_MS = 8_640_000_000_000_000;
/** Events that a watch reads from the history at a time. */
export const WATCH_PAGE_EVENTS = 512;
/** Entries of one vector clock. */
export const VECTOR_CLOCK_ENTRIES_MAX = 64;
/** Documents of one loop, deleted ones included: their version numbers go on. Documents that one phase run may write. */
export const DOCUMENTS_MAX = 100_000;
export const DOCUMENTS_TOUCHED_MAX = 10_000;
/** In UTF-16 code units. */
export const DOCUMENT_LENGTH_MAX = 256 * KiB;
export const DOCUMENT_SCHEMA_LENGTH_MAX = 64 * KiB;
/** Versions of a document that stay readable, the newest included; a snapshot that is held keeps those it needs besides. */
export const DOCUMENT_VERSIONS_KEPT = 16;
/** Nodes that were decommissioned, in the whole cluster (P8). */
export const DECOMMISSIONED_MAX = 100_000;
/** Fields of a document with a vector clock of their own, and the length of the JSON pointer to one. */
export const CAUSAL_FIELDS_MAX = 64;
export const CAUSAL_FIELD_LENGTH_MAX = 256;
/** Effects of one phase run, over all its attempts. */
export const EFFECTS_PER_RUN_MAX = 10_000;
/** Keys of open effects that the refusal of a commit names. */
export const EFFECT_KEYS_NAMED_MAX = 10;
/** Lengths of what is told of an effect, in UTF-16 code units. */
export const EFFECT_KEY_LENGTH_MAX = 256;
export const EFFECT_DESCRIPTION_LENGTH_MAX = 1_024;
export const EFFECT_RESULT_LENGTH_MAX = 16 * KiB;
export const COMPENSATOR_TARGET_LENGTH_MAX = 2_048;
export const COMPENSATOR_PAYLOAD_LENGTH_MAX = 16 * KiB;
export const RESOURCE_LENGTH_MAX = 256;
/** Digits of an amount of money in millionths. */
export const COST_DIGITS_MAX = 30;
/** Traces whose spending is kept: one for each trace with an effect that is kept, and those that were stopped before their first. */
export const SPENDING_MAX = 1_000_000;
/** Resources whose creations and deletions are remembered; those that were quiet for the whole window give way. */
export const RESOURCES_MAX = 100_000;
/** Records of one block of the audit log, and blocks that are kept (O3); what is older is gone unless it was exported. */
export const AUDIT_BLOCK_RECORDS = 64;
export const AUDIT_BLOCKS_MAX = 1_000;
/** What an audit record says that the command was about, UTF-16 code units. */
export const AUDIT_SUBJECT_LENGTH_MAX = 256;
/** Supervisors on the roster, and so signatures of one override (O2). */
export const SUPERVISORS_MAX = 64;
/** Signatures that count for the threshold: more are never asked for (O2). */
export const SUPERVISORS_NEEDED_MAX = 3;
/** An override may expire at most this far ahead, milliseconds. */
export const OVERRIDE_EXPIRY_MAX_MS = 24 * 60 * 60 * 1000;
/** Used nonces in the replicated state; each is kept until its override has expired, and this much longer, milliseconds. */
export const NONCES_MAX = 10_000;
export const NONCE_MARGIN_MS = 60_000;
/** Recoveries of a trace that one override moves; what is left takes another. */
export const OVERRIDE_RECOVERIES_MAX = 1_000;
/** Agents of one heartbeat (D3). */
export const HEARTBEAT_AGENTS_MAX = 1_000;
/** Participants of one attempt (D4). */
export const PARTICIPANTS_MAX = 64;
/** Reports of one sub-step that contradict the one that stands (V2). */
export const RIVALS_MAX = 4;
/** Durations of a phase type that are remembered (D2). */
export const DURATIONS_KEPT = 100;
/** Agents that are known by their heartbeats. */
export const AGENTS_MAX = 20_000;
/** Issues and alerts that are kept: the newest. */
export const ISSUES_MAX = 10_000;
export const ALERTS_MAX = 10_000;
/** Lines of an issue under each of its heads, and code units of a line. */
export const ISSUE_LINES_MAX = 64;
export const ISSUE_LINE_LENGTH_MAX = 1_024;
/** What is told of a step, a fault or a compensator's error, in UTF-16 code units. */
export const DETAIL_LENGTH_MAX = 4 * KiB;
/** Steps of a recovery that its row tells of: the newest. */
export const RECOVERY_STEPS_MAX = 64;
/** What one completeStep works on: sub-steps, rivals and documents, and UTF-16 code units of these documents. */
export const STEP_ROWS_MAX = 256;
export const STEP_DOCUMENTS_LENGTH_MAX = 1 * MiB;
/** A round with an active or blocked recovery is kept; then it is looked at again, milliseconds. */
export const ROUND_RETRY_MS = 60_000;
/**
 * One with a recovery that has failed for good is kept so long beyond its turn, for a supervisor to resume it, unless more recoveries are on
 * record than this; and how often it is looked at, milliseconds.
 */
export const HARD_FAILED_KEPT_MS = 30 * 24 * 60 * 60_000;
export const RECOVERIES_KEPT_MAX = 10_000;
export const HARD_FAILED_RETRY_MS = 60 * 60_000;
/** Rows of one page of a listing. */
export const PAGE_SIZE_DEFAULT = 100;
export const PAGE_SIZE_MAX = 1_000;
/** Longest time a call may wait for its commit; a longer deadline is cut to this. */
export const CALL_DEADLINE_MAX_MS = 60_000;
export const CALL_DEADLINE_DEFAULT_MS = 10_000;
/** A log segment, bytes; the server setting lies between. Tests use small ones. */
export const WAL_SEGMENT_BYTES_MIN = 8 * KiB;
export const WAL_SEGMENT_BYTES_MAX = 1024 * MiB;
/** Entries of one log record, in payload bytes; one larger entry has a record of its own, up to the hard limit. */
export const WAL_RECORD_BYTES_SPLIT = 1 * MiB;
export const WAL_RECORD_BYTES_MAX = 64 * MiB;
/** What one write of the log takes from its queue; one larger append is written alone. */
export const WAL_GROUP_BYTES_MAX = 4 * MiB;
/** Written and not yet fsync'd; the log does not write further beyond it. Also bounds what a power loss may tear. */
export const WAL_UNSYNCED_BYTES_MAX = 16 * MiB;
/** Copies of torn tails that the log keeps aside, in count, and the bytes of one. */
export const WAL_TORN_COPIES_MAX = 4;
export const WAL_TORN_COPY_BYTES_MAX = 32 * MiB;
/** Segments that are not needed any more and are kept to be written again, in count. */
export const WAL_RECYCLED_SEGMENTS_MAX = 4;
/** Segments kept open for reading. */
export const WAL_OPEN_SEGMENTS_MAX = 16;
/** Entries that a member with permit-async has acknowledged, or is about to, and not fsync'd, payload bytes (A2). */
export const EARLY_ACK_BYTES_MAX = 8 * MiB;
/** Newest waits for the log that a member reports to its leader at a time, and that are kept of one member, in count (A1). */
export const ACK_TIMES_PER_REPORT_MAX = 256;
export const ACK_TIMES_KEPT = 2_048;

assert(DOCUMENT_LENGTH_MAX <= STEP_DOCUMENTS_LENGTH_MAX, 'a step gets through the largest document');
assert(SUPERVISORS_NEEDED_MAX <= SUPERVISORS_MAX, 'enough supervisors for an override fit the roster');
assert(LOG_KEEP_BYTES <= LOG_KEEP_SLOW_BYTES, 'slow followers are kept more than others');
assert(
  SNAPSHOT_CHUNK_BYTES * SNAPSHOT_CHUNKS_IN_FLIGHT < PEER_MESSAGE_BYTES_MAX,
  'images leave room for what keeps members together',
);
assert(COMMAND_BYTES_MAX < CLIENT_MESSAGE_BYTES_MAX, 'a command fits a client message');
assert(COMMAND_BYTES_MAX <= APPEND_BYTES_MAX, 'a command fits an append');
assert(APPEND_BYTES_MAX + COMMAND_BYTES_MAX < PEER_MESSAGE_BYTES_MAX, 'an append fits a peer message');
assert(APPEND_BYTES_MAX <= INFLIGHT_BYTES_MAX, 'the in-flight window holds an append');
assert(INFLIGHT_BYTES_MAX <= UNCOMMITTED_BYTES_MAX, 'the in-flight window fits what may be uncommitted');
assert(PROPOSAL_BYTES_MAX <= UNCOMMITTED_BYTES_MAX, 'what is admitted may be appended');
assert(
  FORWARDED_BYTES_MAX * 2 <= PEER_QUEUE_BYTES_MAX,
  'what is forwarded leaves room for what keeps members together',
);
assert(SNAPSHOT_CHUNK_BYTES < SNAPSHOT_CHUNK_BYTES_MAX, 'a chunk of many rows fits the hard limit');
assert(SNAPSHOT_CHUNK_BYTES_MAX + 64 * KiB < PEER_MESSAGE_BYTES_MAX, 'a chunk fits a peer message');
assert(CHECKPOINT_LENGTH_MAX * 8 < SNAPSHOT_CHUNK_BYTES_MAX, 'the largest row, escaped, fits a chunk');
assert(MEMBERS_MAX * 2 < MEMBER_ROWS_MAX, 'members that are wanted never fill the member rows');
assert(SESSION_TTL_MIN_MS <= SESSION_TTL_DEFAULT_MS, 'ttl default above min');
assert(SESSION_TTL_DEFAULT_MS <= SESSION_TTL_MAX_MS, 'ttl default below max');
assert(PAGE_SIZE_DEFAULT <= PAGE_SIZE_MAX, 'page default fits');
assert(PEER_FRAME_BYTES_MAX < PEER_MESSAGE_BYTES_MAX, 'a frame fits a peer message');
assert(PEER_RECONNECT_MIN_MS <= PEER_RECONNECT_MAX_MS, 'reconnects slow down');
assert(CLIENT_MESSAGE_BYTES_MAX < PARTIAL_CALL_BYTES_MAX, 'a request in the making fits');
assert(CLIENT_ANSWER_BYTES_MAX < UNTAKEN_ANSWER_BYTES_MAX, 'an answer that is not taken fits');
assert(CLIENT_MESSAGE_BYTES_MAX + PIPELINE_BYTES_MAX < PIPELINES_BYTES_MAX, 'what a pipeline holds fits');
assert(
  PIPELINE_CALLS_MAX * (PIPELINED_REQUEST_BYTES_MAX + PIPELINE_SLOT_BYTES) <= PIPELINE_BYTES_MAX,
  'what a client has under way on a pipeline is read',
);
assert(PIPELINE_MESSAGE_BYTES_MAX < CLIENT_ANSWER_BYTES_MAX, 'answers that share a message fit one');
assert(SUB_STEP_ID_LENGTH_MAX <= SUB_STEPS_KNOWN_LENGTH_MAX, 'an answer names a known sub-step');
assert(PAGE_BYTES_MAX * 2 < CLIENT_ANSWER_BYTES_MAX, 'a page fits an answer');
assert(PHASE_RESULT_LENGTH_MAX * 4 < COMMAND_BYTES_MAX, 'a phase result in UTF-8 fits a command');
assert(CHECKPOINT_LENGTH_MAX * 4 < COMMAND_BYTES_MAX, 'a checkpoint in UTF-8 fits a command');
assert(DOCUMENT_LENGTH_MAX < COMMAND_BYTES_MAX, 'a document of ASCII fits a command');
assert(
  (DOCUMENT_LENGTH_MAX + DOCUMENT_SCHEMA_LENGTH_MAX) * 8 < SNAPSHOT_CHUNK_BYTES_MAX,
  'a document and its schema, escaped, fit a chunk',
);
assert(EFFECT_RESULT_LENGTH_MAX * 8 < SNAPSHOT_CHUNK_BYTES_MAX, 'an effect fits a chunk');
assert(Number.isSafeInteger(CLUSTER_TIME_MAX_MS + PHASE_DURATION_MAX_MS), 'a deadline is a safe integer');
assert(SESSION_TTL_MAX_MS <= PHASE_DURATION_MAX_MS, 'a session deadline is a safe integer');
assert(WATCH_PAGE_EVENTS <= EVENT_HISTORY_MAX, 'a page of events fits the history');
assert(WAL_SEGMENT_BYTES_MIN < WAL_SEGMENT_BYTES_MAX, 'segment sizes have a range');
assert(COMMAND_BYTES_MAX <= WAL_RECORD_BYTES_SPLIT, 'a command fits a log record');
assert(WAL_RECORD_BYTES_SPLIT < WAL_RECORD_BYTES_MAX, 'a split record is within the hard limit');
assert(PEER_MESSAGE_BYTES_MAX < WAL_RECORD_BYTES_MAX, 'whatever a peer can send fits a log record');
assert(WAL_GROUP_BYTES_MAX <= WAL_UNSYNCED_BYTES_MAX, 'a group may be written');
assert(ACK_TIMES_PER_REPORT_MAX <= ACK_TIMES_KEPT, 'a report of times fits what is kept');
assert(WAL_UNSYNCED_BYTES_MAX < WAL_TORN_COPY_BYTES_MAX, 'what a power loss may tear fits a copy');
