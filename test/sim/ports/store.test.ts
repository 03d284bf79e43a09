/** The simulated store keeps the contract of the real one; and what a power cut may take from it. */
import { describe, expect, it } from 'vitest';
import type { SnapshotMark } from '../../../src/raft/types.ts';
import type { Store } from '../../../src/store/types.ts';
import { DATA_STREAM, logIndex, memberId, term } from '../../../src/types/ids.ts';
import { storeContract } from '../../store/contract.ts';
import { Prng } from '../kernel/prng.ts';
import type { Owner } from '../kernel/queue.ts';
import { World } from '../kernel/world.ts';
import { SimStoreDisk } from './store.ts';

/** Lets virtual time pass for as long as somebody waits. */
class Place {
  readonly #world = new World(null);
  readonly disk = new SimStoreDisk(this.#world, new Prng(1, 1));
  readonly #timer: NodeJS.Timeout;
  #running: Promise<void> | null = null;

  constructor() {
    this.#timer = setInterval(() => {
      this.#running ??= this.#world
        .run(
          Number.MAX_SAFE_INTEGER,
          () => false,
          () => undefined,
        )
        .finally(() => {
          this.#running = null;
        });
    }, 0);
  }

  open(owner: Owner = { alive: true, pausedUntilUs: 0, touched: false }): Promise<Store> {
    return this.disk.open(owner, memberId('a'));
  }

  async remove(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }
}

storeContract('simulated', async () => new Place());

function mark(index: number): SnapshotMark {
  const configuration = { voters: [memberId('a')], votersOutgoing: [], learners: [] };
  return { index: logIndex(index), term: term(1), configuration: { index: logIndex(0), configuration } };
}

describe('the simulated store', () => {
  it('loses at a power cut what was not synced, and nothing else', async () => {
    const place = new Place();
    const store = await place.open();
    await store.write(DATA_STREAM, mark(1), [{ table: 't', key: 'a', value: '1' }]);
    await store.sync();
    await store.write(DATA_STREAM, mark(2), [{ table: 't', key: 'b', value: '2' }]);
    expect(place.disk.durableIndex(DATA_STREAM)).toBe(1);
    place.disk.crash(0);
    const again = await place.open();
    expect((await again.state(DATA_STREAM)).mark?.index).toBe(1);
    await place.remove();
  });

  it('keeps an installed image, and that it was not completed', async () => {
    const place = new Place();
    const store = await place.open();
    await store.write(DATA_STREAM, mark(1), [{ table: 't', key: 'a', value: '1' }]);
    const staging = await store.stage(DATA_STREAM);
    await staging.add([{ table: 't', key: 'c', value: '3' }]);
    await staging.install(mark(9));
    place.disk.crash(0);
    const again = await place.open();
    expect(await again.state(DATA_STREAM)).toMatchObject({ mark: { index: 9 }, installing: true });
    const image = await again.image(DATA_STREAM);
    expect((await image?.read(null, 1_000))?.rows).toEqual([{ table: 't', key: 'c', value: '3' }]);
    await place.remove();
  });

  it('refuses writes on a full disk, and to open when it is damaged', async () => {
    const place = new Place();
    const store = await place.open();
    place.disk.full = true;
    await expect(store.write(DATA_STREAM, mark(1), [])).rejects.toMatchObject({ code: 'no_space' });
    place.disk.full = false;
    await store.write(DATA_STREAM, mark(1), []);
    place.disk.unreadable = true;
    await expect(place.open()).rejects.toMatchObject({ code: 'corrupt' });
    await place.remove();
  });
});
