/** Channel options and limits of the connections between members. */
import type { ChannelOptions } from '@grpc/grpc-js';
import {
  PEER_FRAME_BYTES_MAX,
  PEER_FRAMES_IN_WRITE_MAX,
  PEER_HELLO_TIMEOUT_MS,
  PEER_KEEPALIVE_MS,
  PEER_KEEPALIVE_TIMEOUT_MS,
  PEER_MESSAGE_BYTES_MAX,
  PEER_QUEUE_BYTES_MAX,
  PEER_QUEUE_MESSAGES_MAX,
  PEER_RECONNECT_MAX_MS,
  PEER_RECONNECT_MIN_MS,
  PEER_STREAMS_UNKNOWN_MAX,
} from '../types/limits.ts';

export interface TransportLimits {
  /** Envelopes that wait for one peer, in estimated bytes and in count. */
  readonly queueBytesMax: number;
  readonly queueMessagesMax: number;
  /** Envelopes share a frame up to this size. */
  readonly frameBytesMax: number;
  /** Largest frame, either way. */
  readonly messageBytesMax: number;
  readonly framesInWriteMax: number;
  readonly unknownStreamsMax: number;
  readonly helloTimeoutMs: number;
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
}

export const DEFAULT_TRANSPORT_LIMITS: TransportLimits = {
  queueBytesMax: PEER_QUEUE_BYTES_MAX,
  queueMessagesMax: PEER_QUEUE_MESSAGES_MAX,
  frameBytesMax: PEER_FRAME_BYTES_MAX,
  messageBytesMax: PEER_MESSAGE_BYTES_MAX,
  framesInWriteMax: PEER_FRAMES_IN_WRITE_MAX,
  unknownStreamsMax: PEER_STREAMS_UNKNOWN_MAX,
  helloTimeoutMs: PEER_HELLO_TIMEOUT_MS,
  reconnectMinMs: PEER_RECONNECT_MIN_MS,
  reconnectMaxMs: PEER_RECONNECT_MAX_MS,
};

/** For the connection that a member opens to a peer. The link reconnects by itself; grpc-js must not wait on top. */
export function peerChannelOptions(limits: TransportLimits): ChannelOptions {
  return {
    'grpc.max_receive_message_length': limits.messageBytesMax,
    'grpc.max_send_message_length': limits.messageBytesMax,
    'grpc.initial_reconnect_backoff_ms': limits.reconnectMinMs,
    'grpc.max_reconnect_backoff_ms': limits.reconnectMaxMs,
    'grpc.keepalive_time_ms': PEER_KEEPALIVE_MS,
    'grpc.keepalive_timeout_ms': PEER_KEEPALIVE_TIMEOUT_MS,
    // A repeated stream would be a second one from the same member; and frames are not kept for a retry.
    'grpc.enable_retries': 0,
    // Each connection attempt starts from nothing: no back-off and no address left over from the one before.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.service_config_disable_resolution': 1,
    'grpc.enable_http_proxy': 0,
    'grpc.enable_channelz': 0,
  };
}
