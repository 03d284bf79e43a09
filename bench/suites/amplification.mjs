/**
 * Bytes that a member writes to its disk for each byte of the requests (W6), tables, snapshots and compaction included, by the
 * kernel's own count: values of 1 KiB in place of each other on 64 keys. Text is random, so that compression does not help.
 * The member that writes most counts.
 */
import { randomBytes } from 'node:crypto';
import { keyedLoad } from '../lib/loads.mjs';

const KEYS = 64;
const VALUE_BYTES = 1_024;
const MiB = 2 ** 20;
/** The log goes round once before anything is measured: it is short here. */
const WARM_UP_BYTES = 24 * MiB;
const MEASURED_BYTES = 32 * MiB;

/** A key is never written twice at once. */
const IN_FLIGHT = 64;

/** Bytes of all requests. */
async function overwrite(system, bytes) {
  let proposed = 0;
  await keyedLoad(
    system,
    Math.ceil(bytes / VALUE_BYTES),
    (i) => {
      const call = system.overwrite(i % KEYS, randomBytes(VALUE_BYTES / 2).toString('hex'));
      proposed += call.body.length;
      return call;
    },
    { inFlight: IN_FLIGHT },
  );
  return proposed;
}

export const amplification = {
  name: 'amplification',
  needs: [],
  stages: () => [{ id: '1k' }],
  cluster: (_stage, Kind) => ({ members: 3, flags: Kind.shortLog }),
  lifetime: 'suite',
  async prepare(system, context) {
    await system.prepareOverwrites(KEYS);
    await overwrite(system, context.size(WARM_UP_BYTES, MiB / 2));
  },
  async measure(system, _stage, context) {
    const before = system.writtenBytes();
    const proposed = await overwrite(system, context.size(MEASURED_BYTES, MiB / 2));
    const written = system.writtenBytes().map((bytes, i) => bytes - before[i]);
    return { amplification_1k_ratio: Math.max(...written) / proposed };
  },
};
