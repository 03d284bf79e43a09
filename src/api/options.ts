/** Channel options of the two server ports. */
import type { ServerOptions } from '@grpc/grpc-js';
import {
  CLIENT_ANSWER_BYTES_MAX,
  CLIENT_KEEPALIVE_MS,
  CLIENT_KEEPALIVE_TIMEOUT_MS,
  CLIENT_MESSAGE_BYTES_MAX,
  CLIENT_STREAMS_MAX,
  PEER_KEEPALIVE_MS,
  PEER_KEEPALIVE_TIMEOUT_MS,
  PEER_MESSAGE_BYTES_MAX,
  PEER_STREAMS_MAX,
} from '../types/limits.ts';
import { callGuard } from './call-guard.ts';

/**
 * Options for the `Server` of a port, for one server each. Metadata has no option in grpc-js: HTTP/2 cuts it at 64 KiB on both ports, and
 * the API's handlers refuse more than METADATA_BYTES_MAX.
 */
export function serverOptions(port: 'client' | 'peer'): ServerOptions {
  // Call counters of channelz cost time on every call, and nobody reads them.
  const common: ServerOptions = { 'grpc.enable_channelz': 0 };
  if (port === 'peer') {
    return {
      ...common,
      'grpc.max_receive_message_length': PEER_MESSAGE_BYTES_MAX,
      'grpc.max_send_message_length': PEER_MESSAGE_BYTES_MAX,
      'grpc.max_concurrent_streams': PEER_STREAMS_MAX,
      'grpc.keepalive_time_ms': PEER_KEEPALIVE_MS,
      'grpc.keepalive_timeout_ms': PEER_KEEPALIVE_TIMEOUT_MS,
    };
  }
  return {
    ...common,
    'grpc.max_receive_message_length': CLIENT_MESSAGE_BYTES_MAX,
    'grpc.max_send_message_length': CLIENT_ANSWER_BYTES_MAX,
    interceptors: [callGuard()],
    'grpc.max_concurrent_streams': CLIENT_STREAMS_MAX,
    'grpc.keepalive_time_ms': CLIENT_KEEPALIVE_MS,
    'grpc.keepalive_timeout_ms': CLIENT_KEEPALIVE_TIMEOUT_MS,
  };
}
