/**
 * All that is read in the page, in English. A translation is a copy of this file with the same keys; {names} stay as they are.
 */

/** @type {Record<string, string>} */
export const english = {
  // The frame of the page
  "title": "Linear Diffusion",
  "motto": "A text-to-image diffusion model in which every learned part is linear. All of it runs here, in your browser.",
  "skip": "Skip to what is shown",
  "footer": "Pictures are computed in this page. Nothing that you type, draw or open leaves it.",
  "language": "Language",
  "theme.dark": "Dark",
  "theme.light": "Light",
  "path.name": "The way from a prompt to a picture",
  "model.about": "This model learned from {images} images of {prompts} prompts, {width} x {height} pixels. It has {components} components and {styles} styles.",
  "model.small": "For the page it was made small: the model that it comes from has {components} components and {styles} styles.",
  "model.failed": "The model cannot be shown.",

  // What is asked for
  "ask.name": "What to draw",
  "ask.prompt": "Prompt, or a mix such as 3:0.5 8:0.5",
  "ask.seed": "Seed of the noise",
  "ask.again": "New noise",
  "ask.again.label": "Draw from new noise",
  "ask.draw": "Draw",
  "error.prompt": "“{prompt}” is not a prompt of this model. It knows: {known}.",
  "error.weights": "The weights of a mix must be above 0 and sum to 1; these sum to {sum}.",
  "error.guidance": "The exact sampler has no closed form with guidance. Choose another sampler, or set guidance to 1.",
  "error.sampler": "“{sampler}” is not a sampler; choose one of {known}.",
  "error.schedule": "“{schedule}” is not a schedule; choose one of {known}.",
  "error.steps": "{steps} steps are not possible; give a whole number from 1 to 10000.",
  "error.seed": "{seed} is not a seed; give a whole number from 0.",
  "error.style": "Style {style} is not there: prompt {prompt} has styles 0 to {most}.",

  // The player
  "player.name": "Steps of the run",
  "player.play": "Play",
  "player.pause": "Pause",
  "player.start": "To the noise",
  "player.back": "One step back",
  "player.step": "One step on",
  "player.end": "To the finished picture",
  "player.scrub": "Step of the run",
  "player.at": "step {step} of {steps}",

  // Stations: their names, and what they are in this model
  "prompt.station": "Prompt",
  "prompt.is": "one-hot code",
  "encoder.station": "Encoder",
  "encoder.is": "principal components",
  "noise.station": "Noise",
  "noise.is": "schedule",
  "denoiser.station": "Denoiser",
  "denoiser.is": "linear regression",
  "sampler.station": "Sampler",
  "sampler.is": "many small steps",
  "picture.station": "Picture",
  "picture.is": "decoder and curves",
  "apart.station": "Take it apart",
  "teach.station": "Teach it",
  "own.station": "Your model",

  // The drawing pad
  "pad.role": "drawing pad",
  "pad.hint": "Draw with the mouse, a finger or a pen. By keyboard: the arrow keys move, the space bar lowers and lifts the pen.",
  "pad.clear": "Clear",
  "pad.colour": "Colour",
  "pad.down": "The pen is down: arrow keys draw.",
  "pad.up": "The pen is up.",

  // The guided tour
  "tour.start": "Guided tour",
  "tour.name": "Guided tour",
};
