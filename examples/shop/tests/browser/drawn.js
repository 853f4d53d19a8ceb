// Whether something is drawn in this colour on a chart.
((name, [red, green, blue]) => {
  const canvas = document.querySelector(`#${name}-chart canvas`);
  if (!canvas) return false;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < data.length; i += 4) {
    const off = Math.abs(data[i] - red) + Math.abs(data[i + 1] - green) + Math.abs(data[i + 2] - blue);
    if (off < 6 && data[i + 3] > 250) return true;
  }
  return false;
})
