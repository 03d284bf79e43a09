/** A quiet world with limits so small that a short run meets all of them. */
import { DEFAULT_MEMBER_SETTINGS } from '../../../src/node/options.ts';
import type { SimOptions } from '../options.ts';

const TICK_MS = 50;
const ELECTION_TICKS = 10;

export const SCRIPT_OPTIONS: SimOptions = {
  seed: 1,
  members: 3,
  faultyUs: 0,
  settings: {
    ...DEFAULT_MEMBER_SETTINGS,
    tickMs: TICK_MS,
    electionTicks: ELECTION_TICKS,
    heartbeatTicks: 4,
    leaseTicks: 5,
    leaseMs: 150,
    storeFlushMs: 400,
    logKeepBytes: 0,
    logKeepSlowBytes: 0,
    snapshotChunkBytes: 4_000,
    snapshotChunksInFlight: 1,
  },
  walSegmentBytes: 8 * 1024,
  walCompressBytesMin: 64 * 1024,
  network: {
    delayMinUs: 1_000,
    delayMaxUs: 2_000,
    lostPermille: 0,
    duplicatedPermille: 0,
    stragglerPermille: 0,
    stragglerMaxUs: 0,
    inOrder: true,
    noticedPermille: 1_000,
    encodedPermille: 0,
  },
  disk: { syncMinUs: 500, syncMaxUs: 1_500, slowPermille: 0, slowMaxUs: 0, brokenPermille: 0 },
  clock: { driftPermille: 0, skewMaxMs: 0 },
  membership: { everyUs: 0, membersMax: 5, severalPermille: 0, oldReleasePermille: 0 },
  storage: { everyUs: 0, kinds: [] },
  nemesis: { everyUs: 0, lastsMaxUs: 1, acts: [] },
  aimed: { imagePermille: 0, jointPermille: 0, installedPermille: 0, lastsMaxUs: 1 },
  clients: {
    count: 1,
    sessionPermille: 0,
    thinkMaxUs: 1,
    timeoutUs: 300_000,
    readPermille: 0,
    readers: 0,
    leasePermille: 0,
    boundedPermille: 0,
    staleMaxMs: 1,
    registerClients: 0,
    registers: 1,
    watchers: 1,
    lostPermille: 0,
    payloadMax: 1,
    sessionTtlMs: 60_000,
  },
};
