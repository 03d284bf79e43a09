/**
 * What disks do to files that nobody touches: bits flip, files vanish, sectors end up in another place, ends are cut
 * off. Only bytes that the log can know were durable are hit: what a power cut could have left unwritten as well cannot be
 * told from that (src/wal/FORMAT.md, "Torn tail or damage").
 */
import type { Prng } from '../kernel/prng.ts';
import { provenBytes } from '../wal/segment-reader.ts';
import type { SimDisk } from './disk.ts';
import { type Inode, SECTOR_BYTES } from './inode.ts';

export type DamageKind = 'bitFlip' | 'zeroedSector' | 'lostFile' | 'misdirectedWrite' | 'shortFile';

export const DAMAGE_KINDS: readonly DamageKind[] = [
  'bitFlip',
  'zeroedSector',
  'lostFile',
  'misdirectedWrite',
  'shortFile',
];

interface Target {
  readonly path: string;
  readonly file: Inode;
  /** Below here everything was durable. */
  readonly provenBytes: number;
}

/** Damages one file of the folders in `prefixes`; null when there is nothing to damage yet. The process must be dead. */
export function damageDisk(disk: SimDisk, prng: Prng, kind: DamageKind): { readonly path: string } | null {
  const targets = targetsOf(disk);
  if (targets.length === 0) return null;
  const target = prng.pick(targets);
  const { file, path } = target;
  const offset = prng.below(target.provenBytes);
  const sector = Math.floor(offset / SECTOR_BYTES) * SECTOR_BYTES;
  switch (kind) {
    case 'bitFlip':
      file.rot(offset, 1 << prng.below(8));
      break;
    case 'zeroedSector':
      file.place(sector, new Uint8Array(Math.min(SECTOR_BYTES, target.provenBytes - sector)));
      break;
    case 'lostFile':
      disk.lose(path);
      break;
    case 'misdirectedWrite': {
      const from = prng.pick(targets);
      const source = Math.floor(prng.below(from.provenBytes) / SECTOR_BYTES) * SECTOR_BYTES;
      if (from === target && source === sector) return null;
      file.place(sector, from.file.durableBytes().slice(source, source + SECTOR_BYTES));
      break;
    }
    case 'shortFile':
      file.cutShort(offset);
      break;
  }
  return { path };
}

function targetsOf(disk: SimDisk): readonly Target[] {
  const files = disk.durableFiles();
  const proven = provenBytes(files);
  const targets: Target[] = [];
  for (const [path, file] of files) {
    const bytes = proven.get(path) ?? 0;
    if (bytes > 0) targets.push({ path, file, provenBytes: bytes });
  }
  return targets;
}
