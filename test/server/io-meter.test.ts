/** W6: what is proposed, what is written for it, and how long fsyncs take. */
import { describe, expect, it } from 'vitest';
import { IoMeter } from '../../src/server/io-meter.ts';
import { logIndex } from '../../src/types/ids.ts';

const entry = (index: number, bytes: number, kind: 'command' | 'noop' = 'command') =>
  ({ index: logIndex(index), kind, payload: new Uint8Array(bytes) }) as const;
const synced = (durationMs: number) => ({ kind: 'synced', records: 1, bytes: 1, durationMs }) as const;

describe('W6: the I/O of a member', () => {
  it('is bytes written for each byte of the commands that came after the start', () => {
    const meter = new IoMeter(() => 6);
    expect(meter.usage()).toMatchObject({ bytesProposed: 0, bytesWritten: 3072, maxIoOverheadRatio: 0, fsyncs: 0 });
    meter.begin(logIndex(7));
    meter.applied(entry(7, 5000));
    meter.applied(entry(8, 700, 'noop'));
    meter.applied(entry(9, 1000));
    meter.applied(entry(10, 536));
    expect(meter.usage()).toMatchObject({ bytesProposed: 1536, bytesWritten: 3072, maxIoOverheadRatio: 2 });
  });

  it('has the percentiles of the newest 1,024 fsyncs', () => {
    const meter = new IoMeter(() => 0);
    expect(meter.usage()).toMatchObject({ fsyncP50Ms: 0, fsyncP99Ms: 0 });
    for (let i = 1; i <= 100; i += 1) meter.observe(synced(i));
    meter.observe({ kind: 'space', low: true });
    expect(meter.usage()).toMatchObject({ fsyncP50Ms: 50, fsyncP99Ms: 99, fsyncs: 100 });
    for (let i = 0; i < 1024; i += 1) meter.observe(synced(3));
    expect(meter.usage()).toMatchObject({ fsyncP50Ms: 3, fsyncP99Ms: 3, fsyncs: 1124 });
  });
});
