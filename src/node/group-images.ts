/** The two ends of a transfer of an image (R4), tied to the core, the network and the disk of one stream. */
import { startLoading } from '../machine/machine.ts';
import type { Raft } from '../raft/raft.ts';
import type { Input } from '../raft/types.ts';
import type { StoreImage } from '../store/types.ts';
import type { StreamId } from '../types/ids.ts';
import { ImageReceiver } from './image-receiver.ts';
import { ImageSender } from './image-sender.ts';
import type { MemberDeps } from './options.ts';

export interface ImageEnds {
  readonly raft: Raft;
  /** Feeds the core. */
  readonly input: (input: Input) => void;
}

export function createSender(
  deps: MemberDeps,
  stream: StreamId,
  { raft, input, openImage }: ImageEnds & { readonly openImage: () => Promise<StoreImage | null> },
): ImageSender {
  const { clock, random, settings, network, onNotice } = deps;
  return new ImageSender({
    stream,
    clock,
    random,
    chunkBytes: settings.snapshotChunkBytes,
    chunksInFlight: settings.snapshotChunksInFlight,
    resendMs: settings.electionTicks * settings.tickMs,
    term: () => raft.term,
    openImage,
    send: (to, envelope) => network.send(to, envelope),
    onEnded: (to, { installed, index, bytes, why }) => {
      if (installed) onNotice?.({ kind: 'snapshotSent', to, index, bytes });
      else onNotice?.({ kind: 'snapshotFailed', to, why });
      input({ kind: 'snapshotEnded', to, installed });
    },
  });
}

export function createReceiver(deps: MemberDeps, stream: StreamId, { raft, input }: ImageEnds): ImageReceiver {
  const { store, wal, clock, network, onNotice } = deps;
  return new ImageReceiver({
    stream,
    store,
    wal,
    startLoading,
    yieldNow: () => new Promise((resolve) => clock.defer(resolve)),
    office: () => ({ term: raft.term, leader: raft.leader }),
    ack: (to, ack) => network.send(to, { kind: 'snapshotAck', stream, ...ack }),
    onReady: (from, term, mark) => input({ kind: 'installSnapshot', from, term, mark }),
    onBad: (from, why) => onNotice?.({ kind: 'snapshotBad', from, why }),
  });
}
