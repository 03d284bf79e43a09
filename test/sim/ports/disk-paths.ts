/** Paths of a simulated disk: relative, with `/`, without empty parts. */
import { DiskError } from '../../../src/ports/disk.ts';

export function normal(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  return parts.join('/');
}

export function folderOf(path: string): string {
  const cut = path.lastIndexOf('/');
  return cut < 0 ? '' : path.slice(0, cut);
}

export function notFound(path: string): DiskError {
  return new DiskError('not_found', path, `${path}: no such file or folder`);
}

/** What a file is for, for whoever counts. */
export function kindOf(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (name.startsWith('hard-state')) return 'hard state copy';
  if (name.startsWith('recovering.json')) return 'marker';
  if (name.startsWith('torn-')) return 'torn copy';
  return name.includes('.wal') ? 'segment' : 'file';
}
