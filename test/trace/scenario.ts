/** A scenario file: comments, blank lines, commands (`$ …`), each followed by what it printed. */
import { World } from './world.ts';

/** Runs every command and returns the file's text with the output as it is now. */
export function runScenario(text: string): string {
  const world = new World();
  const result: string[] = [];
  let inOutput = false;
  for (const line of text.split('\n')) {
    if (line.startsWith('$ ')) {
      result.push(line);
      result.push(...world.run(line.slice(2).trim()));
      inOutput = true;
    } else if (line === '' || line.startsWith('#')) {
      result.push(line);
      inOutput = false;
    } else if (!inOutput) {
      throw new Error(`neither command, comment nor output: ${line}`);
    }
  }
  return result.join('\n');
}
