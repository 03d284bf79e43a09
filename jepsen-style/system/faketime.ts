/**
 * Wall clocks of members that can be set while they run: libfaketime reads an offset and a rate from a file. The monotonic clock
 * stays true (FAKETIME_DONT_FAKE_MONOTONIC): timers go on as they would where somebody sets the time.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Of Debian's package `libfaketime`, on x86-64 and arm64. */
export const FAKETIME_LIBRARY = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/faketime/libfaketimeMT.so.1`;

export class FakeClock {
  readonly #file: string;

  constructor(folder: string, slot: number) {
    this.#file = join(folder, `clock-${slot}`);
    this.reset();
  }

  get env(): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: FAKETIME_LIBRARY,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      // Seconds for which what the file said is believed.
      FAKETIME_CACHE_DURATION: '1',
    };
  }

  reset(): void {
    writeFileSync(this.#file, '+0\n');
  }

  /** Seconds ahead of the true time, or behind it. */
  jump(seconds: number): void {
    writeFileSync(this.#file, `${seconds < 0 ? '' : '+'}${seconds}\n`);
  }

  /** 1: as fast as it should be. */
  rate(factor: number): void {
    writeFileSync(this.#file, `+0 x${factor}\n`);
  }
}
