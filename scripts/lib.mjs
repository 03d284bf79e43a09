/** What the scripts share: where the project is, and how to run one of its tools. */
import { spawn } from 'node:child_process';
import { delimiter } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's folder, with a slash at the end. */
export const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Runs a command in the project's folder with this process's input and output; the commands of the dependencies are
 * found first, as in an npm script.
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<number>} its exit code; 128 when a signal ended it
 */
export function run(command, args) {
  return new Promise((resolve, reject) => {
    const PATH = `${root}node_modules/.bin${delimiter}${process.env.PATH ?? ''}`;
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, PATH } });
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? 128));
  });
}
