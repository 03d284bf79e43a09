/** A5: what may wait, whose it is, and what happens when it waits for too long. */
import { describe, expect, it } from 'vitest';
import { Admission, DELAY_TARGET_MS } from '../../src/proposal/admission.ts';

const BYTES = 100;
const COUNT_MAX = 1_000;
/** Beside the reserve. */
const PLAIN = 875;

/** An admission on a clock that stands until it is moved. */
class Scene {
  nowMs = 0;
  readonly admission: Admission;

  constructor(countMax = COUNT_MAX, bytesMax = 1_000_000_000) {
    this.admission = new Admission({ countMax, bytesMax }, () => this.nowMs);
  }

  /** So many at once; how many are admitted. */
  call(client: string, calls: number, bytes = BYTES, urgent = false): number {
    let admitted = 0;
    for (let i = 0; i < calls; i += 1) if (this.admission.tryAdmit(client, bytes, urgent)) admitted += 1;
    return admitted;
  }

  end(client: string, calls: number, { bytes = BYTES, waitedMs = 1, carriedOut = true } = {}): void {
    for (let i = 0; i < calls; i += 1) this.admission.release(client, bytes, waitedMs, carriedOut);
  }
}

describe('AD1', () => {
  it('bounds the count', () => {
    const scene = new Scene(2);
    expect([scene.call('a', 1), scene.call('b', 1), scene.call('c', 1)]).toEqual([1, 1, 0]);
    scene.end('a', 1);
    expect(scene.call('c', 1)).toBe(1);
    expect(scene.admission.count).toBe(2);
  });

  it('bounds the bytes, but lets one oversized proposal through alone', () => {
    const scene = new Scene(10, 100);
    expect(scene.call('a', 1, 500)).toBe(1);
    expect(scene.call('b', 1, 1)).toBe(0);
    scene.end('a', 1, { bytes: 500 });
    expect(scene.call('b', 1, 60)).toBe(1);
    expect(scene.call('b', 1, 60)).toBe(0);
  });

  it('never lets in more than the bounds, whoever asks for what', () => {
    const scene = new Scene(COUNT_MAX, 100_000);
    const held: { client: string; bytes: number }[] = [];
    let [count, bytes] = [0, 0];
    for (let n = 0; n < 20_000; n += 1) {
      const client = `client-${(n * 7_919) % 97}`;
      const own = 1 + ((n * 31) % 500);
      if (n % 3 === 0 && held.length > 0) {
        const [one] = held.splice((n * 13) % held.length, 1);
        if (one === undefined) throw new Error('one is held');
        scene.end(one.client, 1, { bytes: one.bytes });
        count -= 1;
        bytes -= one.bytes;
      } else if (scene.call(client, 1, own, n % 50 === 0) === 1) {
        held.push({ client, bytes: own });
        count += 1;
        bytes += own;
      }
      expect(count).toBeLessThanOrEqual(COUNT_MAX);
      expect(bytes).toBeLessThanOrEqual(100_000);
    }
    expect(scene.admission.count).toBe(count);
    for (const one of held) scene.end(one.client, 1, { bytes: one.bytes });
    expect(scene.admission.count).toBe(0);
    expect(scene.call('greedy', 2 * COUNT_MAX)).toBe(PLAIN);
  });

  it('refuses to give back more than was taken', () => {
    const scene = new Scene();
    expect(() => scene.end('a', 1)).toThrow('released once');
    scene.call('a', 1);
    scene.call('b', 1);
    expect(() => scene.end('a', 1, { bytes: BYTES + 1 })).toThrow('the bytes that were admitted');
  });
});

describe('AD2', () => {
  /** A server that carries out `rate` in a second: the closed loops of one client wait for each other. Returns the limit after `seconds`. */
  function serve(scene: Scene, { rate, calls, seconds, baseMs }: Record<string, number>): number {
    const queue: number[] = [];
    const perTick = (rate ?? 0) / 100;
    for (let ms = 0; ms < (seconds ?? 0) * 1_000; ms += 10) {
      while (queue.length < (calls ?? 0) && scene.admission.tryAdmit('a', BYTES)) queue.push(scene.nowMs);
      scene.nowMs += 10;
      for (let i = 0; i < perTick && queue.length > 0; i += 1) {
        const sinceMs = queue[0] ?? 0;
        if (scene.nowMs - sinceMs < (baseMs ?? 0)) break;
        queue.shift();
        scene.admission.release('a', BYTES, scene.nowMs - sinceMs, true);
      }
    }
    for (const sinceMs of queue) scene.admission.release('a', BYTES, scene.nowMs - sinceMs, true);
    return scene.admission.limit;
  }

  it('lets less in while that is what it waits for, and more again afterwards', () => {
    const scene = new Scene();
    // 800 that wait at 500 in a second wait for 1.6 s; half a second is what 250 wait for.
    const limit = serve(scene, { rate: 500, calls: COUNT_MAX, seconds: 60, baseMs: 0 });
    expect(limit).toBeGreaterThan(150);
    expect(limit).toBeLessThan(400);
    expect(serve(scene, { rate: 10_000, calls: COUNT_MAX, seconds: 20, baseMs: 0 })).toBe(PLAIN);
  });

  it('takes a slow disk for no queue', () => {
    const scene = new Scene();
    // However many wait, each batch takes a second. Now and then it is tried whether fewer wait for less.
    const limits = Array.from({ length: 100 }, () =>
      serve(scene, { rate: 1e6, calls: COUNT_MAX, seconds: 1, baseMs: 1_000 }),
    );
    expect(Math.min(...limits)).toBeGreaterThanOrEqual(Math.floor(PLAIN * 0.75));
    expect(limits.slice(50).filter((limit) => limit === PLAIN).length).toBeGreaterThan(35);
  });

  it('settles where many have one each, too', () => {
    const scene = new Scene(1_536);
    const queue: { client: string; sinceMs: number }[] = [];
    const idle = Array.from({ length: 2_000 }, (_, i) => `client-${i}`);
    const waits: number[] = [];
    for (let ms = 0; ms < 120_000; ms += 10) {
      for (let tries = idle.length; tries > 0; tries -= 1) {
        const client = idle.shift();
        if (client === undefined) break;
        if (scene.admission.tryAdmit(client, BYTES)) queue.push({ client, sinceMs: scene.nowMs });
        else idle.push(client);
      }
      scene.nowMs += 10;
      // 800 in a second.
      for (const { client, sinceMs } of queue.splice(0, 8)) {
        const waitedMs = scene.nowMs - sinceMs;
        scene.admission.release(client, BYTES, waitedMs, true);
        idle.push(client);
        if (ms > 60_000) waits.push(waitedMs);
      }
    }
    waits.sort((x, y) => x - y);
    expect(waits[Math.floor(waits.length / 2)]).toBeLessThan(1.5 * DELAY_TARGET_MS);
    expect(waits.at(-1)).toBeLessThan(3 * DELAY_TARGET_MS);
  });

  it('is over soon after a stall, and does not take what was given up for a queue', () => {
    const scene = new Scene();
    const load = (ms: number): void => {
      for (const endMs = scene.nowMs + ms; scene.nowMs < endMs; scene.nowMs += 5) {
        scene.end('a', scene.call('a', 400), { waitedMs: 5 });
      }
    };
    load(5_000);
    scene.call('a', 400);
    scene.nowMs += 10_000;
    scene.end('a', 400, { waitedMs: 10_000, carriedOut: false });
    expect(scene.admission.limit).toBe(PLAIN);
    for (let stall = 0; stall < 2; stall += 1) {
      const calls = scene.call('a', 400);
      scene.nowMs += 10_000;
      scene.end('a', calls, { waitedMs: 10_000 });
    }
    expect(scene.admission.limit).toBeLessThan(PLAIN);
    load(8_000);
    expect(scene.admission.limit).toBe(PLAIN);
    for (let stall = 0; stall < 2; stall += 1) {
      const calls = scene.call('a', 400);
      scene.nowMs += 10_000;
      scene.end('a', calls, { waitedMs: 10_000 });
    }
    scene.admission.roleChanged();
    expect(scene.admission.limit).toBe(PLAIN);
  });

  it('lets everybody in that comes while little waits, however long that takes', () => {
    const scene = new Scene();
    for (let i = 0; i < 500; i += 1) {
      scene.call('a', 20);
      scene.nowMs += 10 * DELAY_TARGET_MS;
      scene.end('a', 20, { waitedMs: 10 * DELAY_TARGET_MS });
    }
    expect(scene.admission.limit).toBe(PLAIN);
  });

  it('does not mind what took long while something else did not', () => {
    const scene = new Scene();
    for (let i = 0; i < 1_000; i += 1) {
      scene.call('a', 500);
      scene.nowMs += 300;
      scene.end('a', 1, { waitedMs: 1 });
      scene.end('a', 499, { waitedMs: 5_000 });
    }
    expect(scene.admission.limit).toBe(PLAIN);
  });

  it('hints at the waiting time, within bounds', () => {
    const scene = new Scene(10);
    expect(scene.admission.retryAfterMs()).toBe(25);
    for (let i = 0; i < 200; i += 1) {
      scene.call('a', 1);
      scene.end('a', 1, { waitedMs: 400 });
    }
    expect(scene.admission.retryAfterMs()).toBeGreaterThan(350);
    expect(scene.admission.retryAfterMs()).toBeLessThan(410);
    // Who is refused comes back beside all others that were.
    scene.call('a', 10);
    scene.call('a', 2_000);
    expect(scene.admission.retryAfterMs()).toBeGreaterThan(700);
    scene.end('a', scene.admission.count, { waitedMs: 400 });
    for (let i = 0; i < 500; i += 1) {
      scene.call('a', 1);
      scene.end('a', 1, { waitedMs: 60_000 });
    }
    expect(scene.admission.retryAfterMs()).toBe(2_000);
  });
});

describe('AD3', () => {
  it('who sends without end takes nothing from those that send little', () => {
    const scene = new Scene();
    for (const client of ['a', 'b', 'c', 'd', 'e']) scene.call(client, COUNT_MAX);
    expect(scene.call('a', 1)).toBe(0);
    for (let i = 0; i < 75; i += 1) expect(scene.call(`little-${i}`, 1)).toBe(1);
    for (let i = 0; i < 75; i += 1) scene.end(`little-${i}`, 1);
    for (let n = 0; n < 10_000; n += 1) {
      expect(scene.call('little', 1)).toBe(1);
      scene.end('little', 1);
    }
  });

  it('nor with few calls of many bytes', () => {
    const scene = new Scene(COUNT_MAX, 1_000_000);
    expect(scene.call('large', 100, 20_000)).toBe(43);
    for (let i = 0; i < 100; i += 1) expect(scene.call(`little-${i}`, 1, 200)).toBe(1);
    expect(scene.call('large', 1, 20_000)).toBe(0);
  });

  it('nor do many that have a little each from those that have nothing', () => {
    const scene = new Scene();
    for (let round = 0; round < 8; round += 1) for (let i = 0; i < 200; i += 1) scene.call(`some-${i}`, 1);
    expect(scene.admission.count).toBe(COUNT_MAX - 31);
    for (let i = 0; i < 19; i += 1) expect(scene.call(`new-${i}`, 1)).toBe(1);
    // The end of it is for what is urgent.
    expect(scene.call('new-19', 1)).toBe(0);
    for (let i = 0; i < 12; i += 1) expect(scene.call(`urgent-${i}`, 1, BYTES, true)).toBe(1);
    expect(scene.admission.count).toBe(COUNT_MAX);
  });

  it('nor does one with eight calls of as many bytes as there may be', () => {
    for (const bytesMax of [4 << 20, 16 << 20]) {
      const scene = new Scene(1_536, bytesMax);
      for (const client of ['a', 'b', 'c']) {
        scene.call(client, 100, 524_200);
        scene.call(client, 1_000, 60_000);
        scene.call(client, 8, 10_000);
      }
      for (let i = 0; i < 20; i += 1) expect(scene.call(`quiet-${i}`, 1, 600)).toBe(1);
      expect(scene.call('a', 1, 600, true)).toBe(1);
    }
  });

  it('nor one that has nothing but urgent calls', () => {
    const scene = new Scene();
    scene.call('a', 2 * COUNT_MAX, BYTES, true);
    for (let i = 0; i < 60; i += 1) expect(scene.call(`quiet-${i}`, 1)).toBe(1);
    expect(scene.call('operator', 1, BYTES, true)).toBe(1);
  });

  it('what is urgent goes before, of a client that has all it may have, too', () => {
    const scene = new Scene();
    scene.call('a', 2 * COUNT_MAX);
    expect(scene.call('a', 1)).toBe(0);
    expect(scene.call('a', 1, BYTES, true)).toBe(1);
  });

  it('a client alone gets everything but the reserve', () => {
    const scene = new Scene();
    expect(scene.call('a', 2 * COUNT_MAX)).toBe(PLAIN);
  });

  it('two that send without end come to have about the same', () => {
    const scene = new Scene();
    let [first, second] = [scene.call('first', COUNT_MAX), 0];
    // One ends at a time, of whom has more more often; both try again at once.
    for (let n = 0; n < 100_000; n += 1) {
      if ((n * 7_919) % (first + second) < first) {
        scene.end('first', 1);
        first -= 1;
      } else {
        scene.end('second', 1);
        second -= 1;
      }
      first += scene.call('first', 1);
      second += scene.call('second', 1);
    }
    expect(Math.min(first, second) / Math.max(first, second)).toBeGreaterThan(0.5);
  });
});
